"""Reads a Dockerfile with BuildKit's own parser: its stages, and what their instructions say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import UserError


@dataclass(frozen=True)
class Instruction:
    """One instruction. `words` are as BuildKit splits them, with their quotes and variables.

    The words of ENV and LABEL are names and values in turn.
    """

    keyword: str
    flags: dict[str, str]
    words: list[str]
    is_json: bool
    has_heredoc: bool
    text: str
    line: int


@dataclass(frozen=True)
class Stage:
    """The instructions between one FROM and the next. A stage without a name has its number."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list[Instruction])


@dataclass(frozen=True)
class Dockerfile:
    """The ARG instructions before the first FROM, and the stages."""

    arguments: list[Instruction]
    stages: list[Stage]


def read(path: Path) -> Dockerfile:
    """Parses a Dockerfile.

    Raises:
        UserError: The file is missing, or it is not a Dockerfile.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such Dockerfile; name it relative to the program")
    arguments: list[Instruction] = []
    stages: list[Stage] = []
    for instruction in _parse(path):
        where = f"{path}:{instruction.line}"
        if instruction.keyword == "FROM":
            stages.append(_stage(instruction.words, where, len(stages)))
        elif stages:
            stages[-1].instructions.append(instruction)
        elif instruction.keyword == "ARG":
            arguments.append(instruction)
        else:
            raise UserError(f"{where}: {instruction.keyword} before the first FROM")
    if not stages:
        raise UserError(f"{path}: no FROM: a Dockerfile begins with its base image")
    return Dockerfile(arguments, stages)


def _parse(path: Path) -> list[Instruction]:
    import dockerfile  # loads Go's runtime, which only a build needs

    parser: Any = dockerfile  # a compiled module without types
    try:
        commands = parser.parse_file(str(path))
    except parser.GoParseError as error:
        raise UserError(f"{path}: {error}") from error
    return [
        Instruction(
            keyword=command.cmd,
            flags=dict(flag.removeprefix("--").partition("=")[::2] for flag in command.flags),
            words=[*command.value],
            is_json=command.json,
            has_heredoc=bool(command.heredocs),
            text=command.original,
            line=command.start_line,
        )
        for command in commands
    ]


def _stage(words: list[str], where: str, number: int) -> Stage:
    if len(words) == 1:
        return Stage(words[0], str(number))
    if len(words) == 3 and words[1].upper() == "AS":
        return Stage(words[0], words[2])
    raise UserError(f"{where}: FROM takes IMAGE [AS NAME], not {' '.join(words)!r}")


_PART = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|(?:[^'"\\]|\\.)+|.""", re.DOTALL)
_VARIABLE = re.compile(
    r"\\(?P<escaped>.)|\$(?:(?P<bare>\w+)|\{(?P<name>\w+)(?::(?P<sign>[-+])(?P<word>[^}]*))?\})"
)


def expand(text: str, scope: Mapping[str, str]) -> str:
    r"""Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+word}`, and removes quotes.

    A text in single quotes and a character behind a `\` stay as they are.
    """

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return match["escaped"]
        found = scope.get(match["bare"] or match["name"], "")
        if match["sign"] == "-":
            return found or match["word"]
        if match["sign"] == "+":
            return match["word"] if found else ""
        return found

    expanded = ""
    for part in _PART.findall(text):
        unquoted = part[1:-1] if part[0] in "'\"" else part
        expanded += unquoted if part[0] == "'" else _VARIABLE.sub(value, unquoted)
    return expanded


def command_line(instruction: Instruction) -> list[str]:
    """The command of ENTRYPOINT or CMD. The shell form (no JSON list) is run by a shell."""
    return instruction.words if instruction.is_json else ["/bin/sh", "-c", *instruction.words]


def pairs(instruction: Instruction, scope: Mapping[str, str]) -> dict[str, str]:
    """The names and values of ENV and LABEL."""
    words = [expand(word, scope) for word in instruction.words]
    return dict(zip(words[::2], words[1::2], strict=True))
