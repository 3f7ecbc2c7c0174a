"""Physical names stay within Google's limits and never collide; paths have one home."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import layout
from stacks import naming
from tests.stacks.recorder import ROOT

LONG = "a" * 30
NAMES: list[tuple[Callable[[str, str], str], int]] = [
    (lambda a, b: naming.service_account(a, f"{b}-post"), 30),
    (lambda a, b: layout.job(a, b, "collect"), 63),
    (layout.service, 49),
    (lambda a, b: layout.repository(a + a + b), 63),
    (lambda a, b: layout.machine(a, b + b), 63),
    (lambda a, b: layout.machines(a, b + b, 20)[19], 63),
    (lambda a, b: layout.run_names(a + b) + "20261128t020000-x7k2p" + layout.shares(20)[19], 63),
    (lambda a, b: layout.watcher_job(a + a + b), 63),
    (lambda a, b: layout.retrain_job(a + a + b), 63),
    (lambda a, b: naming.network(a + a + b), 63),
    (lambda a, b: naming.custom_role(a + b, "machine-starter", "1" * 21), 64),
    (lambda a, b: layout.data_bucket(a + b, "production"), 63),
    (lambda a, b: layout.models_bucket(a + b, "production"), 63),
]


@pytest.mark.parametrize(("name", "limit"), NAMES)
def test_a_name_is_cut_to_its_limit_and_stays_distinct(
    name: Callable[[str, str], str], limit: int
) -> None:
    long, other = name(LONG, LONG), name(LONG, LONG[:-1] + "b")
    assert len(long) <= limit
    assert len(other) <= limit
    assert long != other


def test_a_name_at_its_limit_is_left_alone() -> None:
    assert layout.fit("a" * 30, 30) == "a" * 30
    assert len(layout.fit("a" * 31, 30)) == 30


def test_a_service_account_id_has_at_least_six_characters() -> None:
    assert len(naming.service_account("a", "b-post")) >= 6


def prefixes() -> set[str]:
    """The first folder of every object that the programs write."""
    return {
        value.partition("/")[0]
        for name, function in vars(layout).items()
        if name.startswith("all_")
        for value in [function()]
    } | {layout.watch_state().partition("/")[0]}


def texts(file: Path) -> Iterator[str]:
    """The texts in a module, except its docstrings."""
    tree = ast.parse(file.read_text())
    docstrings = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node not in docstrings
        ):
            yield node.value


def test_no_module_of_stacks_spells_a_prefix_of_objects() -> None:
    spelt = re.compile(rf"\b({'|'.join(prefixes())})/")
    modules = [ROOT / "__main__.py", *(ROOT / "stacks").glob("*.py")]
    assert len(prefixes()) >= 9
    found = {
        f"{module.name}: {text!r}"
        for module in modules
        for text in texts(module)
        if spelt.search(text)
    }
    assert found == set()
