"""The benchmark compares like with like, and a stack of a thousand accounts can be deployed."""

from pathlib import Path

import pytest

from benchmarks import flat
from benchmarks.program import STACK, Bench, bots, exponent, the_same, values
from tests.stacks.recorder import declare


@pytest.mark.parametrize("yields", [False, True])
def test_a_flat_twin_registers_the_very_same_resources(tmp_path: Path, yields: bool) -> None:
    stack = [*bots(2), flat.Bot("bot0090", "handle0090", "bench-001")]
    twin = tmp_path / "twin.py"
    twin.write_text(flat.twin(STACK, values(stack), stack, yields=yields))
    the_same(declare(STACK, values(stack)), declare(STACK, values(stack), twin))


def test_programs_that_differ_are_not_compared(tmp_path: Path) -> None:
    stack = bots(1)
    twin = tmp_path / "twin.py"
    text = flat.twin(STACK, values(stack), stack)
    assert "'15 5 * * *'" in text
    twin.write_text(text.replace("'15 5 * * *'", "'16 5 * * *'"))
    with pytest.raises(SystemExit, match="not the same inputs"):
        the_same(declare(STACK, values(stack)), declare(STACK, values(stack), twin))


def test_an_account_takes_at_most_16_resources() -> None:
    one, two = (declare(STACK, values(bots(n))) for n in (1, 2))
    assert len(two.resources_of_programs) - len(one.resources_of_programs) <= 16


def test_linear_growth_has_the_exponent_1_and_square_growth_2() -> None:
    assert exponent({10: 1.0, 100: 10.0, 1000: 100.0}) == pytest.approx(1)
    assert exponent({10: 1.0, 100: 100.0}) == pytest.approx(2)


@pytest.mark.parametrize(
    "accounts", [2, pytest.param(1000, marks=pytest.mark.deep)], ids=["few", "a thousand"]
)
def test_a_stack_of_so_many_accounts_previews_on_the_real_engine(
    tmp_path: Path, accounts: int
) -> None:
    bench = Bench(tmp_path, bots(accounts))
    try:
        bench.project("program")
        # With the components and the stack, which are resources to the engine.
        assert f" {bench.registered} to create" in bench.run("program", "preview")
    finally:
        bench.end()
