"""The pictures in docs/architecture.md show what the code and the grants are."""

import ast
import re
from pathlib import Path

from tests.contracts.coverage import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text()
# Nodes of the picture of grants, by the resource in docs/permissions.md.
RESOURCES = {
    r"`buckets/\S+-data\b": "data",
    r"`buckets/\S+-models`": "models",
    r"`secrets/\S+-x-keys`": "keys",
    r"`secrets/\S+-x-bearer`": "bearer",
    r"`locations/\S+/repositories/\S+`": "registry",
    r"`locations/\S+/jobs/\S+`": "jobs",
    r"`topics/\S+-rollout`": "topic",
    r"`serviceAccounts/\S+-trainer@\S+`": "trainer",
    r"the project\b": "project",
}


def arrows(picture: str) -> set[tuple[str, str]]:
    """The arrows of the Mermaid block that follows a comment with the picture's name."""
    (block,) = re.findall(rf"(?s)<!-- {picture} -->\n```mermaid\nflowchart .*?\n(.*?)```", PAGE)
    return {
        (source, target) for source, target in re.findall(r"(?m)^ +([\w-]+)\S* --> ([\w-]+)", block)
    }


def imports(file: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    found = set[str]()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_the_picture_of_the_rooms_has_an_arrow_for_each_import_and_no_other() -> None:
    rooms = {file.parent.name for file in ROOT.glob("[a-z]*/__init__.py")} - {"tests"}
    files = [(file, room) for room in rooms for file in (ROOT / room).rglob("*.py")]
    files.append((ROOT / "__main__.py", "main"))
    found = {
        (room, imported)
        for file, room in files
        for imported in imports(file) & rooms
        if imported != room
    }
    assert arrows("rooms") == found


def test_the_picture_of_the_grants_has_an_arrow_for_each_grant_and_no_other() -> None:
    permissions = (ROOT / "docs/permissions.md").read_text()
    rows = re.findall(r"(?m)^\| (.+?) \| (?:roles/|prod_).+? \| (.+?) \|", permissions)
    granted = {
        (who.replace(" ", "-"), node)
        for who, on in rows
        for pattern, node in RESOURCES.items()
        if who != "project's viewers" and re.match(pattern, on)
    }
    assert arrows("grants") == granted


def test_each_room_is_described() -> None:
    rooms = {file.parent.name for file in ROOT.glob("[a-z]*/__init__.py")}
    assert set(re.findall(r"(?m)^\| `([a-z_]+)/` \|", PAGE)) == rooms | {"tools"}
