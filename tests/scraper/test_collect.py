"""Collecting a timeline: everything once, nothing bought twice, the cursor last."""

# pyright: reportPrivateUsage=false

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from pipeline import corpus, layout
from pipeline.errors import UserError
from pipeline.spend import Ledger, LimitReached
from pipeline.store import PreconditionFailed, Store
from pipeline.x import XError
from scraper_image.collect import Collector
from tests.scraper.conftest import NOW
from tests.scraper.double import X

Make = Callable[..., Collector]


def held(store: Store) -> list[int]:
    return sorted(int(tweet.id) for tweet in corpus.read(store, "keeper"))


def test_everything_is_collected_and_the_cursor_is_the_newest(
    store: Store, double: X, collector: Make
) -> None:
    double.post(*range(1000, 1250))
    index = collector().collect()
    assert held(store) == list(range(1000, 1250))
    assert (index.newest_id, index.count, index.user_id) == ("1249", 250, "783214")
    assert double.sold == [str(number) for number in range(1249, 999, -1)]


def test_a_second_run_buys_only_what_is_new(store: Store, double: X, collector: Make) -> None:
    double.post(*range(1000, 1150))
    collector().collect()
    double.post(1150, 1151)
    index = collector().collect()
    assert held(store) == list(range(1000, 1152))
    assert index.count == 152
    assert len(double.sold) == 152


def test_a_run_with_nothing_new_changes_nothing(store: Store, double: X, collector: Make) -> None:
    double.post(*range(1000, 1010))
    collector().collect()
    before = {name: store.read(name) for name in store.names("tweets/keeper/segments/")}
    index = store.read(layout.index("keeper"))
    collector().collect()
    assert {name: store.read(name) for name in store.names("tweets/keeper/segments/")} == before
    assert store.read(layout.index("keeper")) == index
    assert len(double.sold) == 10


def test_the_user_is_looked_up_once(double: X, collector: Make) -> None:
    collector().collect()
    double.post(1000)
    collector().collect()
    assert double.lookups == 1


def test_an_empty_timeline_leaves_no_segment(store: Store, double: X, collector: Make) -> None:
    assert collector().collect().newest_id is None
    assert store.names("tweets/keeper/segments/") == []


def test_ids_are_compared_as_numbers(store: Store, double: X, collector: Make) -> None:
    double.post(*range(900, 1050))
    assert collector().collect().newest_id == "1049"
    double.post(99_999)
    assert collector().collect().newest_id == "99999"
    assert held(store) == [*range(900, 1050), 99_999]
    assert len(double.sold) == 151


def test_an_empty_page_is_not_the_end_where_x_says_that_there_is_more(
    store: Store, double: X, collector: Make
) -> None:
    double.post(*range(1000, 1003))
    double.empty_pages = 3
    collector().collect()
    assert held(store) == [1000, 1001, 1002]
    assert len(store.names("tweets/keeper/segments/")) == 1


def test_a_back_fill_ends_where_the_reach_of_a_timeline_ends(
    store: Store, double: X, collector: Make
) -> None:
    double.post(*range(1000, 4300))
    collector().collect()
    assert held(store) == list(range(1100, 4300))
    assert len(double.sold) == 3200


def test_posts_that_would_not_be_kept_are_not_bought(double: X, collector: Make) -> None:
    collector().collect()
    assert double.asked == [
        {"exclude": "retweets", "max_results": "100", "tweet.fields": "created_at,note_tweet"}
    ]


def test_a_long_post_is_kept_whole(store: Store, double: X, collector: Make) -> None:
    double.post(1000)
    double.posts[1000] |= {"text": "It begins…", "note_tweet": {"text": "It begins and goes on."}}
    collector().collect()
    assert [tweet.text for tweet in corpus.read(store, "keeper")] == ["It begins and goes on."]


def test_a_changed_handle_is_an_error_that_says_what_to_do(
    store: Store, double: X, collector: Make
) -> None:
    collector().collect()
    with pytest.raises(UserError, match=r"@keeper_of_light.*now @other.*account of its own"):
        collector(handle="other").collect()
    collector(handle="Keeper_Of_Light").collect()


def test_a_page_that_another_run_stored_first_is_used(
    store: Store, double: X, collector: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.post(1000, 1001)
    rival = collector()
    double.before_answer = lambda: (
        (
            setattr(double, "before_answer", lambda: None),
            rival.collect(),
        )[-1]
        and None
    )
    collector().collect()
    assert held(store) == [1000, 1001]


def test_a_cursor_that_another_run_moved_is_an_error(
    store: Store, double: X, collector: Make
) -> None:
    double.post(1000, 1001)
    collector().collect()
    double.post(1002)

    class Late(Store):
        def write(self, name: str, data: bytes, *, generation: int) -> int:
            if name == layout.index("keeper"):
                raise PreconditionFailed(name)
            return super().write(name, data, generation=generation)

    with pytest.raises(UserError, match="another collection ran at the same time"):
        collector(store=Late(store._bucket)).collect()
    assert collector().collect().newest_id == "1002"
    assert len(double.sold) == 3


# What it costs


def test_the_ledger_says_exactly_what_x_sold(double: X, collector: Make, ledger: Ledger) -> None:
    double.post(*range(1000, 1130))
    collector().collect()
    spent = ledger.spent()
    assert (spent.count, spent.usd) == (130, 130 * Decimal("0.005") + Decimal("0.010"))


def test_reading_stops_at_the_limit_and_goes_on_when_it_is_raised(
    store: Store, double: X, collector: Make
) -> None:
    double.post(*range(1000, 1300))
    poor = Ledger(store, layout.reads("keeper"), Decimal("0.84"), lambda: NOW)
    with pytest.raises(LimitReached, match="raise the limit"):
        collector(ledger=poor).collect()
    assert len(double.sold) == 166
    index = collector().collect()
    assert held(store) == list(range(1000, 1300))
    assert index.newest_id == "1299"
    assert len(double.sold) == 300


def test_nothing_is_asked_of_x_once_the_months_money_is_spent(
    store: Store, double: X, collector: Make
) -> None:
    with pytest.raises(LimitReached):
        collector(ledger=Ledger(store, "reads", Decimal(0), lambda: NOW)).collect()
    assert (double.lookups, double.asked) == (0, [])


# What X may answer instead

REFUSALS: dict[str, tuple[int, Any, str]] = {
    "credentials": (401, {"title": "Unauthorized", "detail": "Unauthorized"}, "credentials"),
    "no credits": (402, {"title": "CreditsDepleted", "detail": "no credits"}, "credits"),
    "forbidden": (403, {"title": "Forbidden", "detail": "You are not permitted"}, "forbidden"),
    "rate": (429, {"title": "Too Many Requests"}, "rate"),
    "cap": (429, {"title": "UsageCapExceeded", "period": "Monthly"}, "cap"),
    "internal": (500, {"title": "Internal Server Error"}, "unavailable"),
    "gateway": (503, b"<html>Bad Gateway</html>", "unavailable"),
    "html": (200, b"<html>Hello</html>", "nonsense"),
    "nothing": (200, b"", "nonsense"),
    "a list": (200, b"[]", "nonsense"),
    "no data": (200, {}, "nonsense"),
    "no posts": (200, {"data": [{"id": "7"}]}, "nonsense"),
    "no list": (200, {"data": 7}, "nonsense"),
    "protected": (
        200,
        {"errors": [{"type": "https://api.twitter.com/2/problems/not-authorized-for-resource"}]},
        "forbidden",
    ),
    "suspended": (200, {"errors": [{"detail": "User has been suspended: [1]."}]}, "forbidden"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_in_mid_back_fill_loses_nothing_and_the_next_run_carries_on(
    store: Store, double: X, collector: Make, ledger: Ledger, case: str
) -> None:
    status, body, kind = REFUSALS[case]
    double.post(*range(1000, 1250))
    answers = iter([None, None, (status, body), None])

    def interrupt() -> None:
        fault = next(answers, None)
        if fault:
            double.fail(*fault)

    double.before_answer = interrupt
    with pytest.raises(XError) as error:
        collector().collect()
    double.before_answer = lambda: None
    assert error.value.kind == kind
    assert "\n" not in str(error.value)
    assert len(held(store)) == 200
    assert json.loads(read(store, layout.index("keeper")))["newest_id"] is None

    collector().collect()
    assert held(store) == list(range(1000, 1250))
    assert len(double.sold) == 250
    unknown = 100 if kind in {"unavailable", "nonsense"} else 0
    assert ledger.spent().count == 250 + unknown


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_of_the_look_up_leaves_nothing_behind(
    store: Store, double: X, collector: Make, case: str
) -> None:
    status, body, _ = REFUSALS[case]
    double.fail(status, body)
    with pytest.raises(XError):
        collector().collect()
    assert store.read(layout.index("keeper")) is None
    collector().collect()


def test_a_post_that_was_not_asked_for_is_nonsense(double: X, collector: Make) -> None:
    double.post(1000)
    collector().collect()
    double.fail(200, {"data": [double.posts[1000]], "meta": {}})
    with pytest.raises(XError, match="post 1000, which was not asked for"):
        collector().collect()


def test_empty_pages_without_end_are_nonsense(double: X, collector: Make) -> None:
    double.empty_pages = 10**6
    with pytest.raises(XError, match="empty pages"):
        collector().collect()


def test_a_timeline_that_x_refuses_is_not_taken_for_an_empty_one(
    store: Store, double: X, collector: Make
) -> None:
    double.post(1000)
    collector().collect()
    double.fail(200, {"errors": [{"detail": "User has been suspended: [783214]."}]})
    with pytest.raises(XError, match="suspended"):
        collector().collect()
    assert re.search(r'"newest_id": ?"1000"', read(store, layout.index("keeper")).decode())
    assert held(store) == [1000]


def test_the_index_keeps_unknown_keys(store: Store, double: X, collector: Make) -> None:
    index = {"version": 2, "user_id": "783214", "handle": "keeper_of_light", "language": "en"}
    store.write(layout.index("keeper"), json.dumps(index).encode(), generation=0)
    double.post(1000)
    collector().collect()
    written = {"newest_id": "1000", "count": 1}
    assert json.loads(read(store, layout.index("keeper"))) == index | written


def test_a_damaged_index_is_an_error_of_one_line(store: Store, double: X, collector: Make) -> None:
    store.write(layout.index("keeper"), b"{}", generation=0)
    with pytest.raises(UserError, match=r"index\.json: user_id: .*; restore"):
        collector().collect()


def read(store: Store, name: str) -> bytes:
    found = store.read(name)
    assert found is not None
    return found.data
