"""A tweet that was forgotten on request is not stored again, and its page is not bought again."""

from collections.abc import Callable

import pytest

from pipeline import corpus, forgotten, layout
from pipeline.store import Store
from pipeline.x import XError
from scraper_image.collect import Collector
from tests.scraper.conftest import NOW
from tests.scraper.double import X

Make = Callable[..., Collector]


def forget(store: Store, *ids: int) -> None:
    entry = forgotten.Entry(ids=[str(id_) for id_ in ids], at=NOW, why="a mail", by="operator ada")
    forgotten.remember(store, "keeper", entry)


def test_a_forgotten_tweet_that_x_still_sends_is_stored_without_its_text(
    store: Store, double: X, collector: Make
) -> None:
    double.post(*range(1000, 1010))
    forget(store, 1003)
    assert collector().collect().newest_id == "1009"
    assert [int(tweet.id) for tweet in corpus.read(store, "keeper")] == [
        n for n in range(1000, 1010) if n != 1003
    ]
    for name in store.names(layout.segments("keeper")):
        segment = store.read(name)
        assert segment is not None
        assert b"1002th time" in segment.data
        assert b"1003th time" not in segment.data


def test_a_page_whose_oldest_tweet_is_forgotten_in_mid_backfill_is_not_bought_again(
    store: Store, double: X, collector: Make
) -> None:
    """The next page begins below the oldest id, whether or not that tweet has a text."""
    double.post(*range(1000, 1250))
    forget(store, 1150)
    answers = iter(range(100))
    double.before_answer = lambda: double.fail(401, {}) if next(answers) == 1 else None
    with pytest.raises(XError):
        collector().collect()
    assert len(double.sold) == 100
    double.before_answer = lambda: None
    double.faults.clear()
    collector().collect()
    assert len(double.sold) == len({*double.sold}) == 250
