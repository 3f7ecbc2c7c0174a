"""Writes local/COVERAGE.md: each stand-in, what it cannot show, and what holds it to the real one.

`python -m tests.contracts.coverage`. A stand-in is a file below local/ whose head says "Stands in
for"; a test module that runs one body on it and on the real thing, or on what is known of that,
names it in its `CONTRACTS`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "local/COVERAGE.md"
HEAD = """\
# Stand-ins and their contracts

Written by `python -m tests.contracts.coverage` from the heads of the files and the `CONTRACTS` of
the tests. Each contract is one test body for the stand-in and for what it is held to.

| stand-in | instead of | held to | by |
| --- | --- | --- | --- |
"""


def stand_ins() -> dict[str, str]:
    """What each stand-in stands in for, by its path."""
    found: dict[str, str] = {}
    for file in sorted((ROOT / "local").rglob("*")):
        if file.is_file() and (file.suffix == ".py" or file.parent.name == "standins"):
            said = re.search(r"Stands in for (.*?)[.:,](?:\s|$)", _head(file), re.DOTALL)
            if said:
                found[file.relative_to(ROOT).as_posix()] = " ".join(said[1].split())
    return found


def _head(file: Path) -> str:
    """A module's docstring, or the comment at the top of a script."""
    text = file.read_text()
    if file.suffix == ".py":
        return ast.get_docstring(ast.parse(text)) or ""
    lines = [line for line in text.splitlines()[1:] if line]
    head = lines[: next((n for n, line in enumerate(lines) if line[0] != "#"), len(lines))]
    return "\n".join(line.lstrip("# ") for line in head)


def contracts() -> Iterator[tuple[str, str, str]]:
    """Path of a stand-in, what it is held to, and the test module that does it."""
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CONTRACTS":
                for path, judge in ast.literal_eval(node.value).items():
                    yield path, judge, file.relative_to(ROOT).as_posix()


def page() -> str:
    """The page as it has to be."""
    by_path: dict[str, list[tuple[str, str]]] = {}
    for path, judge, test in contracts():
        by_path.setdefault(path, []).append((judge, test))
    rows = [
        f"| `{path.removeprefix('local/')}` | {what} | {judge} | `{test}` |\n"
        for path, what in stand_ins().items()
        for judge, test in by_path.get(path, [("", "")])
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page())
