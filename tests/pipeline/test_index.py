"""The index: which ids of an account are held, and which are still to be collected."""

import random

import pytest

from pipeline.errors import UserError
from pipeline.index import Index, Owner, Stranger, of


def an_index(*held: tuple[int, int]) -> Index:
    index = Index(user_id="1", handle="keeper")
    for oldest, newest in held:
        index = index.covering(oldest, newest)
    return index


def test_at_first_all_is_still_to_be_collected() -> None:
    assert list(an_index().gaps()) == [(0, None)]


def test_gaps_come_from_the_newest_down() -> None:
    index = an_index((100, 199), (300, 399))
    assert list(index.gaps()) == [(399, None), (199, 300), (0, 100)]
    assert index.newest_id == "399"


def test_nothing_is_left_below_the_first_id() -> None:
    assert list(an_index((1, 10)).gaps()) == list(an_index((0, 10)).gaps()) == [(10, None)]


def test_ranges_that_touch_are_one() -> None:
    index = an_index((1, 99), (200, 299), (100, 199))
    assert [(held.oldest, held.newest) for held in index.held] == [("1", "299")]
    assert index.holds(1, 299)
    assert not index.holds(1, 300)


def test_what_is_covered_in_any_order_is_held_and_nothing_else() -> None:
    dice = random.Random(1)
    for _ in range(200):
        ranges = [(low, low + dice.randrange(9)) for low in dice.sample(range(1, 60), 6)]
        index = an_index(*ranges)
        held = {id_ for low, high in ranges for id_ in range(low, high + 1)}
        gaps = {id_ for gap in index.gaps() for id_ in range(gap.since + 1, gap.until or 80)}
        assert gaps == set(range(1, 80)) - held
        assert all(index.holds(id_, id_) == (id_ in held) for id_ in range(1, 80))


def test_a_person_is_recognised_by_their_id_and_nobody_else_is() -> None:
    index = an_index((1, 9)).model_copy(update={"stranger": Stranger(user_id="2", handle="x")})
    renamed = of(Owner("1", "other"), index, "keeper")
    assert (renamed.handle, renamed.held, renamed.stranger) == ("other", index.held, None)
    with pytest.raises(UserError, match=r"@keeper \(user id 1\), and these are of @keeper"):
        of(Owner("2", "keeper"), index, "keeper")
