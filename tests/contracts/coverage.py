"""Writes local/COVERAGE.md: what the local cloud plays, and what holds it to the real thing.

`python -m tests.contracts.coverage`. Everything on the page has its home in `local`: resource types
in the catalogue, API methods in the rooms' `METHODS`, what cannot be shown in the modules'
docstrings. A stand-in is a file whose docstring says "Stands in for". A test module that runs one
body on the stand-in and on the real thing, or on what is known of that, names it in `CONTRACTS`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from local.engine.handler import Handler
from local.engine.schema import resource_type
from local.services import catalogue
from local.services.compute.instances import Instances
from local.services.context import Context
from local.services.run.serving import Services
from local.services.scheduler.scheduler import Scheduler
from local.services.secretmanager.secrets import Secrets
from local.services.storage.server import StorageServer

ROOT = Path(__file__).parents[2]
LOCAL = ROOT / "local"
PAGE = LOCAL / "COVERAGE.md"
HEAD = """\
# What the local cloud plays

Written by `python -m tests.contracts.coverage` from the code. Inputs of every resource type are
checked against the types of Pulumi's SDK; a type that is not listed is refused. "Acts on" are the
inputs of a type that its room's code names. Its other inputs are only recorded.
"""
CONTRACTS_HEAD = """
# Stand-ins and their contracts

Each contract is one test body for the stand-in and for what it is held to.

| stand-in | instead of | held to | by |
| --- | --- | --- | --- |
"""


def handlers() -> dict[str, Handler]:
    """The handlers of all resource types by type, with nothing behind them."""
    nothing = SimpleNamespace(
        home=Path("/nowhere"), storage_agent="", since=None, address=None, retire=None, exists=None
    )
    return catalogue.handlers(
        cast("Context", nothing),
        cast("StorageServer", nothing),
        cast("Secrets", nothing),
        cast("Scheduler", nothing),
        cast("Instances", nothing),
        cast("Services", nothing),
    )


def functions() -> list[str]:
    """The functions that programs can call."""
    return sorted(catalogue.invokes(cast("Context", SimpleNamespace(storage_agent=""))))


def rooms() -> list[Path]:
    """The folders of the services."""
    return sorted(path.parent for path in LOCAL.glob("services/*/__init__.py"))


def modules(room: Path) -> list[Path]:
    """The modules of a room, the one that names it first."""
    return sorted(room.rglob("*.py"), key=lambda path: (path.name != "__init__.py", path))


def cannot_show(file: Path) -> list[str]:
    """What a module says that it cannot show: sentences of its docstring."""
    text = " ".join(_head(file).split())
    return re.findall(r"It cannot show[^.]*(?:\.(?=\S)[^.]*)*\.", text)


def methods(room: Path) -> list[str]:
    """The methods of Google's APIs that a room plays, by their ids in the discovery documents."""
    return sorted(
        method for file in modules(room) for method in _constant(file, "METHODS", default=())
    )


def acted_on(room: Path, token: str) -> list[str]:
    """The inputs of a type that its room's code names, in texts or in the form of a full name."""
    declared = resource_type(token)
    assert declared is not None, token
    named = {
        name
        for file in [*modules(room), LOCAL / "services/handler.py"]
        for node in _nodes(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for name in (node.value, *re.findall(r"\{(\w+)\}", node.value))
    }
    return sorted(named & declared.properties.keys())


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, without the lists of inputs whose changes replace a resource."""
    if not (isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "replace_on"):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _nodes(child)


def _constant(file: Path, name: str, default: object) -> list[str]:
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return list(ast.literal_eval(node.value))
    return list(cast("list[str]", default))


def _head(file: Path) -> str:
    """A module's docstring, or the comment at the top of a script."""
    text = file.read_text()
    if file.suffix == ".py":
        return ast.get_docstring(ast.parse(text)) or ""
    lines = [line for line in text.splitlines()[1:] if line]
    head = lines[: next((n for n, line in enumerate(lines) if line[0] != "#"), len(lines))]
    return "\n".join(line.lstrip("# ") for line in head)


def services() -> Iterator[str]:
    """A chapter for each room."""
    by_room: dict[str, list[str]] = {}
    for token, handler in handlers().items():
        by_room.setdefault(type(handler).__module__.split(".")[2], []).append(token)
    for room in rooms():
        title, _, rest = _head(room / "__init__.py").partition(":")
        about = rest.strip()
        yield f"\n## {title} (`services/{room.name}`)\n\n{about[0].upper()}{about[1:]}\n"
        limits = [limit for file in modules(room) for limit in cannot_show(file)]
        yield "".join(f"\n- {limit}" for limit in limits) + "\n"
        if tokens := by_room.get(room.name):
            yield "\n| resource type | acts on |\n| --- | --- |\n"
            for token in sorted(tokens):
                yield f"| `{token}` | {', '.join(acted_on(room, token))} |\n"
        if played := methods(room):
            yield f"\nAPI methods: {', '.join(f'`{method}`' for method in played)}.\n"


def stand_ins() -> dict[str, str]:
    """What each stand-in stands in for, by its path."""
    found: dict[str, str] = {}
    for file in sorted(LOCAL.rglob("*")):
        if file.is_file() and (file.suffix == ".py" or file.parent.name == "standins"):
            said = re.search(r"Stands in for (.*?)[.:,](?:\s|$)", _head(file), re.DOTALL)
            if said:
                found[file.relative_to(ROOT).as_posix()] = " ".join(said[1].split())
    return found


def contracts() -> Iterator[tuple[str, str, str]]:
    """Path of a stand-in, what it is held to, and the test module that does it."""
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CONTRACTS":
                for path, judge in ast.literal_eval(node.value).items():
                    yield path, judge, file.relative_to(ROOT).as_posix()


def other_limits() -> Iterator[str]:
    """What the rooms beside the services cannot show."""
    yield "\n## Beside the services\n"
    for file in sorted(LOCAL.rglob("*")):
        inside = file.is_file() and (file.suffix == ".py" or file.parent.name == "standins")
        if inside and "services" not in file.parts:
            for limit in cannot_show(file):
                yield f"\n- `{file.relative_to(LOCAL).as_posix()}`: {limit}"
    yield "\n"


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
    called = "".join(f"\n- `{function}`" for function in functions())
    return "".join(
        [
            HEAD,
            *services(),
            *other_limits(),
            f"\n## Functions that programs call\n{called}\n",
            CONTRACTS_HEAD,
            *rows,
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page())
