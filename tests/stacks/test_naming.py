"""Physical names stay within Google's limits and never collide."""

from collections.abc import Callable

import pytest

from pipeline import layout
from stacks import naming

LONG = "a" * 30
NAMES: list[tuple[Callable[[str, str], str], int]] = [
    (lambda a, b: naming.service_account(a, f"{b}-post"), 30),
    (lambda a, b: naming.job(a, b, "collect"), 63),
    (lambda a, b: naming.machine(a, b + b), 63),
    (lambda a, b: naming.machines(a, b + b, 20)[19], 63),
    (lambda a, b: naming.runs(a + b) + "20261128t020000-x7k2p" + layout.shares(20)[19], 63),
    (lambda a, b: naming.retrain(a + b), 63),
    (lambda a, b: naming.network(a + a + b), 63),
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
