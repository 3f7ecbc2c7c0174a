"""`docker build` of what needs no running of commands: FROM, COPY and the configuration.

A RUN is left out with a note. What it would have made is missing from the image: a `COPY --from` of
it puts the stand-in of that name in its place where there is one, and is skipped with a note where
there is none. The libraries that a RUN would have installed are those of the virtual environment
that every container is lent.
"""

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.machine import context, dockerfile
from local.machine.dockerfile import Instruction, Stage
from local.machine.images import Images
from pipeline.errors import UserError

_RECORDED = {"EXPOSE", "HEALTHCHECK", "MAINTAINER", "STOPSIGNAL", "VOLUME"}
# In Debian these are links; files that are copied there belong to what they point at.
_MERGED = re.compile(r"(bin|sbin|lib|lib64)(?=/|$)")


@dataclass(frozen=True)
class Request:
    """What to build, as on the command line of `docker build`."""

    context: Path
    dockerfile: Path
    tags: Iterable[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    target: str = ""


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
        return {**self.arguments, **self.environment}


def build(request: Request, images: Images, standins: Path) -> str:
    """Builds an image and gives it its tags; returns the digest.

    Raises:
        UserError: A mistake in the Dockerfile, with its line, or something not stood in for.
    """
    parsed = dockerfile.read(request.dockerfile)
    stages = parsed.stages
    if request.target:
        names = [stage.name for stage in stages]
        if request.target not in names:
            raise UserError(f"{request.dockerfile}: no stage named {request.target!r}")
        stages = stages[: names.index(request.target) + 1]
    with images.workspace() as workspace:
        builder = _Builder(request, images, standins, workspace)
        for instruction in parsed.arguments:
            value = dockerfile.substitute(instruction.value, builder.defaults)
            builder.declare(value, builder.defaults)
        for stage in stages[:-1]:
            builder.stage(stage, last=False)
        built = builder.stage(stages[-1], last=True)
        built.config["Labels"] = {**built.config.get("Labels", {}), **request.labels}
        digest = images.seal(built.root, built.config)
    for tag in request.tags:
        images.tag(tag, digest)
    return digest


class _Builder:
    def __init__(self, request: Request, images: Images, standins: Path, workspace: Path) -> None:
        self._request = request
        self._images = images
        self._standins = standins
        self._workspace = workspace
        self._stages: dict[str, _Built] = {}
        self._context = {
            path: request.context / path
            for path in context.admitted(request.context, request.dockerfile)
        }
        self.defaults: dict[str, str] = {}

    def stage(self, stage: Stage, *, last: bool) -> _Built:
        built = self._base(dockerfile.substitute(stage.base, self.defaults), last=last)
        self._stages[str(len(self._stages))] = self._stages[stage.name] = built
        for instruction in stage.instructions:
            try:
                self._apply(instruction, built)
            except (UserError, ValueError, IndexError) as error:
                where = f"{self._request.dockerfile}:{instruction.line}: {instruction.keyword}"
                raise UserError(f"{where}: {error}") from error
            text = f"{instruction.keyword} {instruction.value}"
            built.config.setdefault("History", []).append(text)
        return built

    def _base(self, name: str, *, last: bool) -> _Built:
        root = self._workspace / str(len(self._stages))
        if name in self._stages:
            earlier = self._stages[name]
            shutil.copytree(earlier.root, root, symlinks=True)
            return _Built(root, {**earlier.config}, ran=earlier.ran)
        if name == "scratch":
            root.mkdir()
            return _Built(root, {})
        try:
            digest = self._images.need(name)
        except UserError:
            if last:
                raise
            self._images.note(f"{name} has no stand-in: this stage begins empty")
            root.mkdir()
            return _Built(root, {}, ran=True)
        # Images never change, so links do for copies.
        shutil.copytree(self._images.root(digest), root, symlinks=True, copy_function=os.link)
        return _Built(root, self._images.config(digest))

    def declare(self, value: str, into: dict[str, str]) -> None:
        """ARG: the value given to the build, else the one before the first FROM, else its own."""
        name, _, default = value.partition("=")
        into[name] = self._request.arguments.get(name, self.defaults.get(name, default.strip('"')))

    def _apply(self, instruction: Instruction, built: _Built) -> None:
        keyword, config = instruction.keyword, built.config
        if keyword == "RUN":
            self._images.note(f"RUN left out: {instruction.value}")
            built.ran = True
        elif keyword == "ENTRYPOINT":
            config.pop("Cmd", None)
            config["Entrypoint"] = dockerfile.command(instruction.value)
        elif keyword == "CMD":
            config["Cmd"] = dockerfile.command(instruction.value)
        else:
            value = dockerfile.substitute(instruction.value, built.scope())
            self._apply_substituted(keyword, value, built)

    def _apply_substituted(self, keyword: str, value: str, built: _Built) -> None:
        config = built.config
        if keyword == "ARG":
            self.declare(value, built.arguments)
        elif keyword == "ENV":
            environment = {**built.environment, **dockerfile.pairs(value)}
            config["Env"] = [f"{name}={text}" for name, text in environment.items()]
        elif keyword == "LABEL":
            config["Labels"] = {**config.get("Labels", {}), **dockerfile.pairs(value)}
        elif keyword == "WORKDIR":
            config["WorkingDir"] = str(Path(config.get("WorkingDir") or "/", value))
            (built.root / config["WorkingDir"].lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif keyword == "USER":
            config["User"] = value
        elif keyword in {"COPY", "ADD"}:
            self._copy(value, built)
        elif keyword in _RECORDED:
            config[keyword.title()] = value
        else:
            raise UserError("not stood in for")

    def _copy(self, value: str, built: _Built) -> None:
        flags, words = dockerfile.flags(value)
        if len(words) < 2:
            raise UserError(f"takes sources and a destination, not {value!r}")
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

    def _files(self, source: str | None) -> tuple[dict[str, Path], _Built | None]:
        """What a COPY can take, by relative path: the context, a stage, or another image."""
        if source is None:
            return self._context, None
        if source in self._stages:
            origin = self._stages[source]
        else:
            origin = _Built(self._images.root(self._images.need(source)), {})
        paths = (
            Path(folder, name)
            for folder, folders, names in os.walk(origin.root)
            for name in [*names, *(name for name in folders if Path(folder, name).is_symlink())]
        )
        return {str(path.relative_to(origin.root)): path for path in paths}, origin

    def _left_out(self, source: str, origin: _Built | None) -> list[tuple[Path, str]]:
        """Instead of a file that a left-out RUN would have made: its stand-in, or nothing."""
        if origin is None:
            file = context.ignore_file(self._request.context, self._request.dockerfile)
            excluded = f", or left out by {file}" if file else ""
            raise UserError(f"{source!r} is not in the build context{excluded}")
        if not origin.ran:
            raise UserError(f"{source!r} is not in that stage")
        standin = self._standins / Path(source).name
        if standin.is_file():
            self._images.note(f"{source}: made by a RUN that was left out: its stand-in is used")
            return [(standin, "")]
        self._images.note(f"{source}: made by a RUN that was left out: skipped")
        return []


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
    pattern = re.compile("/".join(_segment(part) for part in normal.split("/")) + r"(?:/(.*))?")
    found = ((file, pattern.fullmatch(path)) for path, file in files.items())
    return [(file, match[1] or "") for file, match in found if match]


def _segment(part: str) -> str:
    escaped = re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return re.sub(r"\\\[(.*?)\\\]", r"[\1]", escaped)


def _place(source: Path, target: Path, mode: int | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Never written through: what is there may be a link to an image's own file.
    target.unlink(missing_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)
    if mode is not None:
        target.chmod(mode)
