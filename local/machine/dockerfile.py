"""Reads a Dockerfile: its stages, their instructions, and the small languages within those."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import UserError


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continuation lines joined; `line` is where it begins."""

    keyword: str
    value: str
    line: int


@dataclass(frozen=True)
class Stage:
    """What stands between one FROM and the next."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list[Instruction])


@dataclass(frozen=True)
class Dockerfile:
    """The arguments before the first FROM, and the stages."""

    arguments: list[Instruction]
    stages: list[Stage]


def read(path: Path) -> Dockerfile:
    """Parses a Dockerfile.

    Raises:
        UserError: The file is missing, or holds what is not stood in for (a heredoc).
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such Dockerfile; name it relative to the program")
    arguments: list[Instruction] = []
    stages: list[Stage] = []
    for instruction in _instructions(path):
        if instruction.keyword == "FROM":
            stages.append(_stage(instruction, path, len(stages)))
        elif stages:
            stages[-1].instructions.append(instruction)
        elif instruction.keyword == "ARG":
            arguments.append(instruction)
        else:
            raise UserError(
                f"{path}:{instruction.line}: {instruction.keyword} before the first FROM"
            )
    if not stages:
        raise UserError(f"{path}: no FROM: a Dockerfile begins with its base image")
    return Dockerfile(arguments, stages)


def _instructions(path: Path) -> list[Instruction]:
    found: list[Instruction] = []
    parts: list[str] = []
    start = 0
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start = start if parts else number
        text = line.rstrip()
        parts.append(text.removesuffix("\\").strip())
        if not text.endswith("\\"):
            found.append(_instruction(" ".join(parts), start, path))
            parts = []
    if parts:
        found.append(_instruction(" ".join(parts), start, path))
    return found


def _instruction(text: str, line: int, path: Path) -> Instruction:
    keyword, _, value = text.partition(" ")
    if keyword.upper() in {"RUN", "COPY"} and re.search(r"<<-?['\"]?\w", value):
        raise UserError(f"{path}:{line}: heredocs are not stood in for; use a file and COPY")
    return Instruction(keyword.upper(), value.strip(), line)


def _stage(instruction: Instruction, path: Path, index: int) -> Stage:
    words = [word for word in instruction.value.split() if not word.startswith("--")]
    if len(words) == 1:
        return Stage(words[0], str(index))
    if len(words) == 3 and words[1].upper() == "AS":
        return Stage(words[0], words[2])
    raise UserError(
        f"{path}:{instruction.line}: FROM takes IMAGE [AS NAME], not {instruction.value!r}"
    )


_VARIABLE = re.compile(
    r"\\\$|\$(?:(?P<bare>\w+)|\{(?P<name>\w+)(?::(?P<sign>[-+])(?P<word>[^}]*))?\})"
)


def substitute(text: str, scope: Mapping[str, str]) -> str:
    r"""Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+word}`; `\$` is a dollar."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "\\$":
            return "$"
        found = scope.get(match["bare"] or match["name"], "")
        if match["sign"] == "-":
            return found or match["word"]
        if match["sign"] == "+":
            return match["word"] if found else ""
        return found

    return _VARIABLE.sub(value, text)


def command(value: str) -> list[str]:
    """The exec form (a JSON list) as it stands; the shell form under `/bin/sh -c`."""
    return json.loads(value) if value.startswith("[") else ["/bin/sh", "-c", value]


def pairs(value: str) -> dict[str, str]:
    """The pairs of ENV and LABEL: `KEY=value …` with quotes, or the old `KEY value`."""
    first = value.split(None, 1)[0]
    if "=" not in first:
        key, _, rest = value.partition(" ")
        return {key: rest.strip()}
    return dict(_pair(word) for word in shlex.split(value))


def _pair(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key, value


def flags(value: str) -> tuple[dict[str, str], list[str]]:
    """The `--name=value` flags of COPY, and its sources and destination."""
    found: dict[str, str] = {}
    rest = value
    while match := re.match(r"--([\w-]+)(?:=(\S+))?\s+", rest):
        found[match[1]] = match[2] or ""
        rest = rest[match.end() :]
    return found, json.loads(rest) if rest.startswith("[") else shlex.split(rest)
