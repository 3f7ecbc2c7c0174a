"""The files of a build context that a Dockerfile sees, and pulumi-docker's digest of them."""

import fnmatch
import functools
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rule:
    """One line of an ignore file; the last rule that matches a path decides."""

    admits: bool
    text: str

    @classmethod
    def parse(cls, line: str) -> "Rule":
        """The rule of a line such as `docs/**` or `!app/*.py`. It covers what lies below, too."""
        text = os.path.normpath(line.removeprefix("!").strip()).strip("/")
        return cls(line.startswith("!"), text)

    def matches(self, path: str) -> bool:
        """Whether the rule decides about a path."""
        return pattern(self.text).fullmatch(path) is not None

    def may_admit_below(self, folder: str) -> bool:
        """Whether the rule could admit something in a folder that is itself left out."""
        if not self.admits:
            return False
        for segment, part in zip(self.text.split("/"), folder.split("/"), strict=False):
            if "**" in segment:
                return True
            if not fnmatch.fnmatchcase(part, segment):
                return False
        return True


@functools.cache
def pattern(text: str) -> re.Pattern[str]:
    """An expression for the paths that a pattern names, and for all paths `below` them."""
    parts = re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|\\.|[^*?\[\\]+|.", text)
    return re.compile("".join(map(_expression, parts)) + r"(?:/(?P<below>.*))?")


def _expression(part: str) -> str:
    wild = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if part in wild:
        return wild[part]
    if part.startswith("[") and len(part) > 1:
        return part
    return re.escape(part[1:] if part.startswith("\\") and len(part) > 1 else part)


def ignore_file(context: Path, dockerfile: Path) -> Path | None:
    """The ignore file that counts: the Dockerfile's own, else the context's."""
    candidates = (Path(f"{dockerfile}.dockerignore"), context / ".dockerignore")
    return next((file for file in candidates if file.is_file()), None)


def admitted(context: Path, dockerfile: Path) -> list[str]:
    """The paths, relative to the context, of all files and links that the ignore file admits."""
    file = ignore_file(context, dockerfile)
    lines = file.read_text().splitlines() if file else []
    rules = [Rule.parse(line.strip()) for line in lines if line.strip() and line[0] != "#"]
    return list(_walk(context, rules))


def _walk(folder: Path, rules: list[Rule], prefix: str = "") -> Iterator[str]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = prefix + entry.name
        admits = _admits(rules, path)
        if not entry.is_dir(follow_symlinks=False):
            if admits:
                yield path
        elif admits or any(rule.may_admit_below(path) for rule in rules):
            yield from _walk(Path(entry.path), rules, f"{path}/")


def _admits(rules: list[Rule], path: str) -> bool:
    verdict = True
    for rule in rules:
        if rule.matches(path):
            verdict = rule.admits
    return verdict


def digest(context: Path, dockerfile: Path) -> str:
    """`build.contextDigest` of pulumi-docker 5 (provider/provider.go, hashContext), in hex.

    It covers the name, mode and content of every admitted file, and the Dockerfile under a name of
    its own. A changed mode changes it (the umask of a checkout does that), a changed time does not.
    The content of a link is the path that it resolves to.
    """
    total = hashlib.sha256(_record(dockerfile, "Dockerfile", "-" * 10))
    for path in admitted(context, dockerfile):
        file = context / path
        mode = stat.filemode(file.lstat().st_mode)
        total.update(_record(file, path, mode.replace("l", "L", 1)))
    return total.hexdigest()


def _record(file: Path, name: str, mode: str) -> bytes:
    is_link = mode.startswith("L")
    content = os.fsencode(_resolved(file)) if is_link else file.read_bytes()
    return name.encode() + mode.encode() + hashlib.sha256(content).digest() + b"\0"


def _resolved(link: Path) -> str:
    resolved = os.path.realpath(link)
    return resolved if link.is_absolute() else os.path.relpath(resolved)
