"""Making and deleting a stack is bounded by the work, and not by a lock of the provider."""

import pytest

from benchmarks.pace import ACCOUNTS, PLACES, Pace, Step, destroy, first_up, paces


def step(name: str, *needs: str, seconds: float = 1, lock: str = "") -> Step:
    return Step(("t", name), seconds, lock, frozenset(("t", need) for need in needs))


@pytest.fixture(scope="module")
def many() -> tuple[Pace, Pace]:
    return paces(ACCOUNTS)


@pytest.mark.parametrize("which", [0, 1], ids=["first up", "destroy"])
def test_eighty_accounts_are_bounded_by_the_work_and_not_by_a_lock(
    many: tuple[Pace, Pace], which: int
) -> None:
    pace = many[which]
    assert pace.seconds < 1.2 * pace.work / PLACES
    assert pace.longest_lock[1] < 0.1 * pace.seconds


def test_no_lock_is_held_longer_for_more_accounts(many: tuple[Pace, Pace]) -> None:
    few = paces(2)
    assert [p.longest_lock[1] for p in few] == [p.longest_lock[1] for p in many]


def test_steps_under_one_lock_come_one_after_another() -> None:
    assert first_up([step(str(n), lock="bucket") for n in range(5)]).seconds == 5
    assert first_up([step(str(n), lock=str(n)) for n in range(5)]).seconds == 1


def test_no_more_are_made_at_once_than_the_engine_has_places() -> None:
    assert first_up([step(str(n)) for n in range(PLACES)]).seconds == 1
    assert first_up([step(str(n)) for n in range(PLACES + 1)]).seconds == 2


def test_who_waits_for_a_lock_holds_a_place() -> None:
    waiting = [step(str(n), lock="bucket") for n in range(PLACES)]
    # The free step begins when the first of them is done.
    assert first_up([*waiting, step("free", seconds=PLACES)]).seconds == PLACES + 1


def test_what_something_needs_is_there_before_it_and_goes_after_it() -> None:
    steps = [step("bucket"), step("grant", "bucket", seconds=3), step("job", "grant")]
    for pace in (first_up(steps), destroy(steps)):
        assert (pace.seconds, pace.work) == (5, 5)


def test_deletions_go_in_waves() -> None:
    steps = [step("a"), step("b", "a", seconds=4), step("c"), step("d", "c", seconds=1)]
    assert first_up(steps).seconds == 5
    # Not c while b is still being deleted.
    assert destroy(steps).seconds == 5
    assert destroy([*steps, step("e", "d", seconds=0)]).seconds == 4 + 1 + 1
