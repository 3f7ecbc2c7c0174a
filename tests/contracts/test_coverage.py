"""Every stand-in has a contract, and the page of what is played is as it has to be."""

# pyright: reportPrivateUsage=false

import re
from pathlib import Path

import pytest

from local.gateway import discovery
from tests.contracts import coverage
from tests.contracts.coverage import PAGE, ROOT, contracts, page, stand_ins


def test_every_stand_in_says_what_it_stands_in_for() -> None:
    files = {f"local/containers/standins/{file.name}"
             for file in (ROOT / "local/containers/standins").iterdir()
             if file.is_file() and file.name != "__init__.py"}  # fmt: skip
    assert files <= stand_ins().keys()


def test_every_stand_in_has_a_contract() -> None:
    held = {path for path, _, _ in contracts()}
    assert stand_ins().keys() - held == set()


def test_every_contract_is_of_a_stand_in_that_exists() -> None:
    assert {path for path, _, _ in contracts()} - stand_ins().keys() == set()


@pytest.mark.parametrize("room", coverage.rooms(), ids=lambda room: room.name)
def test_every_room_says_what_it_cannot_show(room: Path) -> None:
    assert [limit for file in coverage.modules(room) for limit in coverage.cannot_show(file)]


def test_every_method_that_is_played_is_one_of_googles() -> None:
    played = [method for room in coverage.rooms() for method in coverage.methods(room)]
    documents = {name for names in discovery._DOCUMENTS.values() for name in names}
    known = {method.document["id"] for name in documents for method in discovery._methods(name)}
    assert played
    assert set(played) - known == set()


def test_every_resource_type_is_on_the_page_with_an_input() -> None:
    tokens = re.findall(r"^\| `([\w-]+:[^`]+)` \| \w", page(), re.MULTILINE)
    assert sorted(tokens) == sorted(coverage.handlers())


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "write it again: python -m tests.contracts.coverage"
