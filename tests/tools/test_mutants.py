"""The mutation tool, on small programs with tests of their own."""

from pathlib import Path

import pytest

from tools.mutants import covered, judge, mutations, report
from tools.mutants.covered import Covered
from tools.mutants.mutations import Mutation

SETTINGS = """\
[tool.coverage.run]
source = ["shop"]
patch = ["subprocess"]
parallel = true
"""
PROGRAM = """\
LIMIT = 5

def price(count: "int" = 1):
    \"\"\"A price.\"\"\"
    return count + 10

def shown(count):
    return count - 1

if __name__ == "__main__":
    print(shown(8))
"""
TESTS = """\
import subprocess, sys
import pytest
from shop import till

@pytest.fixture(scope="module")
def priced():
    return till.price(2)

def test_nothing_of_it(priced):
    assert priced

def test_the_price(priced):
    assert priced == 12 and till.LIMIT == 5

def test_the_program():
    assert subprocess.check_output([sys.executable, "-m", "shop.till"], env={}) == b"7\\n"
"""


def open_shop(folder: Path) -> Path:
    """A repository with one module; one of its tests uses a shared fixture, one a program."""
    for name, text in {
        "pyproject.toml": SETTINGS,
        "shop/__init__.py": "",
        "shop/till.py": PROGRAM,
        "tests/shop/test_till.py": TESTS,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return open_shop(tmp_path)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Covered]:
    """A repository, and which of its tests run what."""
    shop = open_shop(tmp_path_factory.mktemp("shop"))
    return shop, covered.measure(shop)


def change(root: Path, diff: str) -> Mutation:
    """The one change whose new line is `diff`."""
    (found,) = (m for m in mutations.mutations(root, ["shop"]) if report.diff(m)[-1] == f"+{diff}")
    return found


def test_what_no_test_could_notice_is_not_changed(shop: Path) -> None:
    new = [report.diff(mutation)[-1] for mutation in mutations.mutations(shop, ["shop"])]
    assert "+    return count - 10" in new
    assert "+LIMIT = 6" in new
    assert not any("XXint" in line or "A price" in line.swapcase() for line in new)


def test_a_choice_outlives_edits_of_other_code(shop: Path) -> None:
    def chosen(seed: int) -> set[str]:
        return {m.id for m in mutations.sample(mutations.mutations(shop, ["shop"]), 5, seed)}

    before = chosen(1)
    assert before != chosen(2)
    (shop / "shop/till.py").write_text(f"import os\n{PROGRAM}")
    assert chosen(1) == before


def test_a_change_is_given_the_tests_that_run_its_line(measured: tuple[Path, Covered]) -> None:
    shop, known = measured
    tests = {test.rpartition("::")[2]: test for test in known.shared}
    with_fixture = {tests["test_nothing_of_it"], tests["test_the_price"]}
    assert set(known.tests_of(change(shop, "    return count - 10"))) == with_fixture
    assert known.tests_of(change(shop, "    return count + 1")) == [tests["test_the_program"]]
    assert set(known.tests_of(change(shop, "LIMIT = 6"))) == set(tests.values())


def test_a_change_that_a_test_notices_is_killed_and_another_survives(
    measured: tuple[Path, Covered],
) -> None:
    shop, known = measured
    noticed, other = change(shop, "    return count - 10"), change(shop, "    return count + 11")
    unnoticing = Covered(known.seconds, dict(known.shared), known.lines)
    unnoticing.forget(["tests/shop/test_till.py::test_the_price"])
    (killed,) = judge.judge([noticed], known, [shop])
    assert killed.verdict == "killed"
    assert killed.killers == ["tests/shop/test_till.py::test_the_price"]
    (survivor,) = judge.judge([other], unnoticing, [shop])
    assert (survivor.verdict, survivor.tests) == ("survived", 1)
    assert (shop / "shop/till.py").read_text() == PROGRAM


def test_a_change_that_only_pyright_notices_is_refused(shop: Path) -> None:
    typed = """\
def price(count: int) -> int:
    return count

def twice() -> int:
    return 2 * price(5)
"""
    (shop / "shop/till.py").write_text(typed)
    (found,) = judge.judge([change(shop, "    return 2 * price(None)")], Covered(), [shop])
    assert found.verdict == "refused"


def test_a_change_that_makes_a_test_wait_for_ever_times_out(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop / "tests/shop/test_till.py").write_text("def test_for_ever():\n    while True: pass\n")
    test = "tests/shop/test_till.py::test_for_ever"
    noticed = change(shop, "    return count - 10")
    known = Covered({test: 0.0}, {test: []}, {"shop/till.py": {5: [test]}})
    monkeypatch.setattr(judge, "_START", 2.0)
    (found,) = judge.judge([noticed], known, [shop])
    assert found.verdict == "timed out"


def test_a_change_gets_no_more_tests_than_its_budget_allows(shop: Path) -> None:
    slow = {f"tests/shop/test_{n}.py::test": covered.BUDGET * 0.4 for n in range(4)}
    known = Covered(dict(slow), {test: [] for test in slow}, {"shop/till.py": {5: list(slow)}})
    assert len(known.tests_of(change(shop, "    return count - 10"))) == 2
    assert len(known.tests_of(change(shop, "    return count - 10"), covered.THOROUGH)) == 4
    known.seconds[min(slow)] = covered.BUDGET * 9
    only = Covered(known.seconds, {min(slow): []}, known.lines)
    assert only.tests_of(change(shop, "    return count - 10")) == [min(slow)]


def test_a_change_is_also_given_the_tests_that_look_at_all_code(shop: Path) -> None:
    general, near = "tests/test_all.py::test", "tests/shop/test_near.py::test"
    known = Covered({}, {general: [], near: []}, {"shop/till.py": {1: [""], 5: [near]}})
    for diff in ("LIMIT = 6", "    return count - 10"):
        assert known.tests_of(change(shop, diff)) == [near, general]


def test_the_report_shows_each_survivor_with_its_explanation(shop: Path) -> None:
    (shop / "docs").mkdir()
    mutant = change(shop, "    return count - 10")
    (shop / "docs/mutants.toml").write_text(f'{mutant.id} = "Because."\nother = "Gone."\n')
    judged = [judge.Judged(mutant, "survived", 1)]
    facts = {"total": 9, "seed": 1, "commit": "abc"}
    assert report.write(shop / "docs", judged, **facts) == ["other"]
    page = (shop / "docs/mutants.md").read_text()
    assert "### shop/till.py:5" in page
    assert f"`{mutant.id}`: Because." in page
    assert "-    return count + 10\n+    return count - 10" in page


def test_what_happens_at_import_is_given_the_tests_of_its_package(shop: Path) -> None:
    near, far, elsewhere = (
        f"tests/shop/test_{name}.py::test" for name in ("near", "far", "elsewhere")
    )
    known = Covered(
        {near: 2.0, far: 1.0, elsewhere: 1.0},
        {near: [], far: [], elsewhere: []},
        {
            "shop/till.py": {1: [""], 5: [near]},
            "shop/other.py": {1: [far]},
            "bank/till.py": {1: [elsewhere]},
        },
    )
    assert known.tests_of(change(shop, "LIMIT = 6")) == [near, far]
    assert known.tests_of(change(shop, "    return count - 10")) == [near]
