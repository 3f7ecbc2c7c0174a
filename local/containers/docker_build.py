"""Stands in for `docker build` as far as no command has to run: FROM, COPY and the configuration.

A RUN is left out with a note, so the files that it would have made are missing from the image. A
`COPY --from` of such a file copies the stand-in of that name, or is skipped with a note where there
is none. The libraries that a RUN would have installed are those of the virtual environment that is
lent to every container. It cannot show: what a RUN does, layers, file owners, ADD of addresses and
archives, COPY of a heredoc, ONBUILD.
"""

import functools
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.containers import build_context, instructions
from local.containers.image_store import ImageStore
from local.containers.instructions import Instruction, Stage, expand
from pipeline.errors import UserError

_RECORDED = {"EXPOSE", "HEALTHCHECK", "MAINTAINER", "STOPSIGNAL", "VOLUME"}
# In Debian these are links; files that are copied there belong to what they point at.
_MERGED = re.compile(r"(bin|sbin|lib|lib64)(?=/|$)")


@dataclass
class _Built:
    """A stage as far as it has been built."""

    root: Path
    config: dict[str, Any]
    arguments: dict[str, str] = field(default_factory=dict[str, str])
    ran: bool = False  # whether commands were left out that might have made files

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config.get("Env", []))

    def scope(self) -> dict[str, str]:
        """What variables an instruction may use."""
        return {**self.arguments, **self.environment}

    def add_labels(self, labels: Mapping[str, str]) -> None:
        self.config["Labels"] = {**self.config.get("Labels", {}), **labels}


@dataclass
class Build:
    """One build, with the arguments of `docker build`."""

    images: ImageStore
    standins: Path
    context: Path
    dockerfile: Path
    tags: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    target: str = ""
    _defaults: dict[str, str] = field(default_factory=dict[str, str], init=False)
    _stages: dict[str, _Built] = field(default_factory=dict[str, _Built], init=False)

    def run(self) -> str:
        """Builds the image and gives it its tags; returns the digest.

        Raises:
            UserError: A mistake in the Dockerfile, with its line, or something not stood in for.
        """
        parsed = instructions.read(self.dockerfile)
        stages = parsed.stages
        if self.target:
            names = [stage.name for stage in stages]
            if self.target not in names:
                raise UserError(f"{self.dockerfile}: no stage named {self.target!r}")
            stages = stages[: names.index(self.target) + 1]
        for instruction in parsed.arguments:
            self._declare(instruction, self._defaults, self._defaults)
        with self.images.workspace() as workspace:
            for number, stage in enumerate(stages):
                built = self._stage(stage, workspace / str(number), last=stage is stages[-1])
                self._stages[str(number)] = self._stages[stage.name] = built
            last = self._stages[stages[-1].name]
            last.add_labels(self.labels)
            digest = self.images.seal(last.root, last.config)
        for tag in self.tags:
            self.images.tag(tag, digest)
        return digest

    def _stage(self, stage: Stage, root: Path, *, last: bool) -> _Built:
        built = self._base(expand(stage.base, self._defaults), root, last=last)
        for instruction in stage.instructions:
            try:
                self._apply(instruction, built)
            except (UserError, ValueError, IndexError) as error:
                where = f"{self.dockerfile}:{instruction.line}: {instruction.keyword}"
                raise UserError(f"{where}: {error}") from error
            built.config["History"] = [*built.config.get("History", []), instruction.text]
        return built

    def _base(self, name: str, root: Path, *, last: bool) -> _Built:
        """The base of a stage, in the folder `root`."""
        if name in self._stages:
            earlier = self._stages[name]
            shutil.copytree(earlier.root, root, symlinks=True)
            return _Built(root, {**earlier.config}, ran=earlier.ran)
        if name == "scratch":
            root.mkdir()
            return _Built(root, {})
        try:
            digest = self.images.need(name)
        except UserError:
            if last:
                raise
            self.images.note(f"{name} has no stand-in: this stage begins empty")
            root.mkdir()
            return _Built(root, {}, ran=True)
        # Images never change, so links do for copies.
        shutil.copytree(self.images.root(digest), root, symlinks=True, copy_function=os.link)
        return _Built(root, self.images.config(digest))

    def _declare(
        self, instruction: Instruction, scope: Mapping[str, str], into: dict[str, str]
    ) -> None:
        """ARG: the value given to the build, else the one before the first FROM, else its own."""
        for word in instruction.words:
            name, _, default = expand(word, scope).partition("=")
            into[name] = self.arguments.get(name, self._defaults.get(name, default))

    def _apply(self, instruction: Instruction, built: _Built) -> None:
        keyword, scope = instruction.keyword, built.scope()
        if keyword == "RUN":
            self.images.note(f"RUN left out: {' '.join(instruction.words)}")
            built.ran = True
        elif keyword == "ARG":
            self._declare(instruction, scope, built.arguments)
        elif keyword == "WORKDIR":
            folder = Path(
                built.config.get("WorkingDir") or "/", expand(instruction.words[0], scope)
            )
            built.config["WorkingDir"] = str(folder)
            built.root.joinpath(*folder.parts[1:]).mkdir(parents=True, exist_ok=True)
        elif keyword in {"COPY", "ADD"}:
            self._copy(instruction, built)
        else:
            _configure(instruction, built)

    def _copy(self, instruction: Instruction, built: _Built) -> None:
        if instruction.has_heredoc:
            raise UserError("heredocs are not stood in for; use a file")
        flags = instruction.flags
        words = [expand(word, built.scope()) for word in instruction.words]
        if len(words) < 2:
            raise UserError(f"takes sources and a destination, not {' '.join(words)!r}")
        *sources, destination = words
        files, origin = self._files(flags.get("from"))
        folder = _inside(built.config.get("WorkingDir") or "/", destination)
        found = {source: _matches(source, files) for source in sources}
        into_folder = (
            destination.endswith(("/", "."))
            or sum(map(len, found.values())) > 1
            or (built.root / folder).is_dir()
        )
        mode = int(flags["chmod"], 8) if "chmod" in flags else None
        for source, matches in found.items():
            for path, below in matches or self._left_out(source, origin):
                name = below or (path.name if into_folder else "")
                _place(path, built.root / folder / name, mode)

    @functools.cached_property
    def _admitted(self) -> dict[str, Path]:
        paths = build_context.admitted(self.context, self.dockerfile)
        return {path: self.context / path for path in paths}

    def _files(self, source: str | None) -> tuple[dict[str, Path], _Built | None]:
        """What a COPY can take, by relative path: the context, a stage, or another image."""
        if source is None:
            return self._admitted, None
        if source in self._stages:
            origin = self._stages[source]
        else:
            origin = _Built(self.images.root(self.images.need(source)), {})
        paths = (path for path in origin.root.rglob("*") if path.is_symlink() or not path.is_dir())
        return {str(path.relative_to(origin.root)): path for path in paths}, origin

    def _left_out(self, source: str, origin: _Built | None) -> list[tuple[Path, str]]:
        """Instead of a file that a left-out RUN would have made: its stand-in, or nothing."""
        if origin is None:
            file = build_context.ignore_file(self.context, self.dockerfile)
            excluded = f", or left out by {file}" if file else ""
            raise UserError(f"{source!r} is not in the build context{excluded}")
        if not origin.ran:
            raise UserError(f"{source!r} is not in that stage")
        standin = self.standins / Path(source).name
        if standin.is_file():
            self.images.note(f"{source}: made by a RUN that was left out: its stand-in is used")
            return [(standin, "")]
        self.images.note(f"{source}: made by a RUN that was left out: skipped")
        return []


def _configure(instruction: Instruction, built: _Built) -> None:
    """Applies an instruction that changes nothing but the configuration."""
    keyword, config, scope = instruction.keyword, built.config, built.scope()
    if keyword == "ENTRYPOINT":
        config.pop("Cmd", None)
        config["Entrypoint"] = instructions.command_line(instruction)
    elif keyword == "CMD":
        config["Cmd"] = instructions.command_line(instruction)
    elif keyword == "ENV":
        environment = {**built.environment, **instructions.pairs(instruction, scope)}
        config["Env"] = [f"{name}={text}" for name, text in environment.items()]
    elif keyword == "LABEL":
        built.add_labels(instructions.pairs(instruction, scope))
    elif keyword == "USER":
        config["User"] = expand(instruction.words[0], scope)
    elif keyword in _RECORDED:
        config[keyword.title()] = " ".join(instruction.words)
    else:
        raise UserError("not stood in for")


def _inside(directory: str, path: str) -> str:
    """An absolute path in the image, or one relative to `directory`, relative to the root."""
    normal = os.path.normpath(os.path.join(directory, path)).lstrip("/")  # noqa: PTH118
    return _MERGED.sub(r"usr/\1", normal, count=1) if _MERGED.match(normal) else normal


def _matches(source: str, files: Mapping[str, Path]) -> list[tuple[Path, str]]:
    """The files that a COPY source takes, each with its name below the destination.

    The name of a file that the source names itself is empty: it depends on the destination.
    """
    normal = _inside("/", source)
    if normal.startswith(".."):
        raise UserError(f"{source!r} is outside the build context")
    if normal in {"", "."}:
        return [(file, path) for path, file in files.items()]
    # Go's filepath.Match, by which COPY finds files, knows no `**`.
    pattern = build_context.pattern(normal.replace("**", "*"))
    found = ((file, pattern.fullmatch(path)) for path, file in files.items())
    return [(file, match["below"] or "") for file, match in found if match]


def _place(source: Path, target: Path, mode: int | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Never written through: what is there may be a link to an image's own file.
    target.unlink(missing_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)
    if mode is not None:
        target.chmod(mode)
