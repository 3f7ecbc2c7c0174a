"""Collecting a timeline: everything once, nothing bought twice, the cursor last."""

# pyright: reportPrivateUsage=false

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from pipeline import corpus, documents, layout, lease, slots
from pipeline import index as indexes
from pipeline.errors import Unavailable, UserError
from pipeline.index import Index
from pipeline.lease import Busy
from pipeline.prices import OWNED_POST_READ, POST_READ, USER_READ
from pipeline.slots import Slot
from pipeline.spend import Ledger, LimitReached
from pipeline.store import Store
from pipeline.tweets import Tweet, to_jsonl
from pipeline.x import XError
from scraper_image.collect import Collector
from scraper_image.timeline import Timeline
from scraper_image.wait import Ended
from tests.scraper.conftest import NOW, Time
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
        {
            "exclude": "retweets",
            "max_results": "100",
            "tweet.fields": "created_at,note_tweet,referenced_tweets,in_reply_to_user_id,lang,"
            "source,entities,attachments,edit_history_tweet_ids,display_text_range",
        }
    ]


def test_a_long_post_is_kept_whole(store: Store, double: X, collector: Make) -> None:
    double.post(1000)
    double.posts[1000] |= {"text": "It begins…", "note_tweet": {"text": "It begins and goes on."}}
    collector().collect()
    assert [tweet.text for tweet in corpus.read(store, "keeper")] == ["It begins and goes on."]


# Whose posts


def test_a_person_who_changed_their_handle_is_recognised(
    store: Store, double: X, collector: Make
) -> None:
    double.post(1000)
    collector().collect()
    double.handle = "keeper_of_fog"
    double.post(1001)
    index = collector().collect()
    assert (index.handle, index.user_id, held(store)) == ("keeper_of_fog", "783214", [1000, 1001])
    collector(handle="Keeper_Of_Fog").collect()
    assert double.lookups == 2


def test_somebody_elses_posts_are_refused_and_looked_up_once(
    double: X, collector: Make, ledger: Ledger
) -> None:
    double.post(1000)
    collector().collect()
    double.handle, double.user_id = "other", "99"
    for _ in range(3):
        with pytest.raises(UserError, match=r"@keeper_of_light.*@other .*account of their own"):
            collector().collect()
    assert double.lookups == 2
    assert ledger.spent().usd == 2 * USER_READ + POST_READ


def test_an_imported_archive_is_not_bought_again(store: Store, double: X, collector: Make) -> None:
    double.post(*range(1000, 1250))
    archive = Index(user_id=None, handle=double.handle).covering(0, 1199)
    indexes.write(store, "keeper", archive, generation=0)
    index = collector().collect()
    assert held(store) == list(range(1200, 1250))
    assert (index.user_id, len(double.sold)) == ("783214", 50)


def test_an_archive_that_is_imported_in_mid_back_fill_is_not_bought_again(
    store: Store, double: X, collector: Make
) -> None:
    double.post(*range(1000, 1300))

    def import_archive() -> None:
        if len(double.asked) == 1:
            documents.update(
                store,
                layout.index("keeper"),
                Index,
                lambda index: index.covering(0, 1099) if index else pytest.fail("no index"),
            )

    double.before_answer = import_archive
    collector().collect()
    assert held(store) == list(range(1100, 1300))
    assert len(double.sold) == 200


# In which order


def test_news_come_before_an_unfinished_back_fill(store: Store, double: X, collector: Make) -> None:
    double.post(*range(1000, 1250))
    poor = Ledger(store, "poor", USER_READ + 100 * POST_READ, lambda: NOW)
    with pytest.raises(LimitReached):
        collector(ledger=poor).collect()
    assert held(store) == list(range(1150, 1250))

    double.post(*range(1250, 1260))
    double.sold.clear()
    poor = Ledger(store, "poorer", 60 * POST_READ, lambda: NOW)
    with pytest.raises(LimitReached):
        collector(ledger=poor).collect()
    assert double.sold == [str(n) for n in [*range(1259, 1249, -1), *range(1149, 1099, -1)]]

    collector().collect()
    assert held(store) == list(range(1000, 1260))
    assert [(gap.since, gap.until) for gap in stored_index(store).gaps()] == [(1259, None)]


def test_news_of_several_pages_that_were_cut_short_leave_a_gap_that_is_filled(
    store: Store, double: X, collector: Make
) -> None:
    double.post(1000)
    collector().collect()
    double.post(*range(1001, 1301))
    with pytest.raises(LimitReached):
        collector(ledger=Ledger(store, "poor", 100 * POST_READ, lambda: NOW)).collect()
    double.post(1301)
    collector().collect()
    assert held(store) == list(range(1000, 1302))
    assert len(double.sold) == 302


def test_the_bots_own_posts_are_not_bought_back(store: Store, double: X, collector: Make) -> None:
    double.post(*range(1000, 1010))
    collector().collect()
    double.post(*range(1010, 1020))
    for minute, id_ in enumerate((1012, 1013, 1019)):
        slot = Slot.model_validate(
            {"state": "posted", "execution": "e", "nonce": "n", "at": NOW, "expires": NOW}
            | {"id": str(id_), "text": "the bot's"}
        )
        slots.write(store, "keeper", f"20261123T12{minute:02}Z", slot, generation=0)
    store.write(layout.slot("keeper", "20261123T1259Z"), b"{", generation=0)
    collector().collect()
    assert held(store) == [n for n in range(1000, 1020) if n not in (1012, 1013, 1019)]
    assert len(double.sold) == 17
    asked = len(double.asked)
    collector().collect()
    assert len(double.asked) == asked + 1


# Two executions at once


def test_two_executions_at_once_buy_once(store: Store, double: X, collector: Make) -> None:
    double.post(*range(1000, 1250))
    rival = collector(execution="second")

    def run_rival() -> None:
        with pytest.raises(Busy, match=r"run first has tweets/keeper/collecting.json until"):
            rival.collect()

    double.before_answer = run_rival
    collector().collect()
    assert (len(double.sold), double.lookups) == (250, 1)
    double.before_answer = lambda: None
    rival.collect()
    assert len(double.sold) == 250


def test_a_dead_executions_lease_binds_others_until_it_must_have_ended(
    store: Store, double: X, collector: Make, time: Time
) -> None:
    class Dead(Store):
        def delete(self, name: str, *, generation: int) -> None:
            raise Unavailable("dead")

    collector(store=Dead(store._bucket)).collect()
    collector().collect()  # a retry of the same execution
    collector(store=Dead(store._bucket)).collect()
    with pytest.raises(Busy):
        collector(execution="second").collect()
    time.sleep(1800 + 120)
    collector(execution="second").collect()


def test_a_page_that_another_execution_stored_first_stays(
    store: Store, double: X, collector: Make
) -> None:
    """Two executions whose clocks differ too much both hold the lease."""
    double.post(1000, 1001)
    rival = collector(execution="second")

    def run_rival() -> None:
        if double.asked:
            double.before_answer = lambda: None
            lease.release(store, layout.collecting("keeper"), "first", "collector")
            rival.collect()

    double.before_answer = run_rival
    index = collector().collect()
    assert held(store) == [1000, 1001]
    assert index.count == 2


def test_an_index_that_is_deleted_meanwhile_is_made_anew_by_the_next_execution(
    store: Store, double: X, collector: Make
) -> None:
    double.post(1000)

    def forget() -> None:
        if double.asked:
            store.remove(layout.index("keeper"))

    double.before_answer = forget
    with pytest.raises(Unavailable, match=r"index\.json was deleted; the next execution"):
        collector().collect()
    double.before_answer = lambda: None
    assert collector().collect().newest_id == "1000"
    assert len(double.sold) == 1


def test_an_interrupted_back_fill_of_an_older_program_is_carried_on(
    store: Store, double: X, collector: Make
) -> None:
    double.post(*range(1000, 1250))
    index = {"version": 1, "user_id": "783214", "handle": double.handle, "newest_id": None}
    store.write(layout.index("keeper"), json.dumps(index).encode(), generation=0)
    for ids, until in ((range(1249, 1149, -1), None), (range(1149, 1049, -1), "1150")):
        tweets = [Tweet(id=str(n), text="t", created_at=NOW, source="timeline") for n in ids]
        name = layout.timeline_segment("keeper", None, until)
        store.write(name, to_jsonl(tweets), generation=0)
    found = collector().collect()
    assert held(store) == list(range(1000, 1250))
    assert (len(double.sold), found.count) == (50, 250)


# One odd post


def test_one_odd_post_is_left_out_and_named_and_the_page_is_kept(
    store: Store, double: X, collector: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    double.post(*range(1000, 1005))
    del double.posts[1001]["created_at"]
    double.posts[1002]["text"] = None
    double.posts[1003] |= {"note_tweet": None, "entities": 7, "lang": ["en"], "attachments": {}}
    collector().collect()
    index = collector().collect()
    assert held(store) == [1000, 1003, 1004]
    assert (index.newest_id, index.count, len(double.sold)) == ("1004", 3, 5)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    warned = [line for line in lines if line["severity"] == "WARNING"]
    assert [(line["odd"], line["message"]) for line in warned] == [
        (
            ["1002", "1001"],
            "keeper: left out, because X sent no text or no time: 1002, 1001",
        )
    ]


def test_a_page_of_odd_posts_alone_is_not_bought_again(
    store: Store, double: X, collector: Make
) -> None:
    double.post(1000)
    double.posts[1000]["text"] = None
    for _ in range(2):
        collector().collect()
    assert (held(store), len(double.sold)) == ([], 1)


def test_an_edited_tweet_counts_once(store: Store, double: X, collector: Make) -> None:
    double.post(1000)
    collector().collect()
    del double.posts[1000]
    double.post(1001)
    double.posts[1001]["edit_history_tweet_ids"] = ["1000", "1001"]
    collector().collect()
    assert held(store) == [1001]


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


def test_the_limit_of_all_accounts_binds_each_of_them(
    store: Store, double: X, collector: Make, ledger: Ledger
) -> None:
    double.post(*range(1000, 1300))
    whole = Ledger(store, layout.stack_reads(), Decimal("0.56"), lambda: NOW)
    within = Ledger(store, layout.reads("keeper"), Decimal(100), lambda: NOW, whole)
    with pytest.raises(LimitReached, match=r"tweets/reads\.json: .* of this month's \$0\.56"):
        collector(ledger=within).collect()
    assert len(double.sold) == 110
    assert (ledger.spent().count, whole.spent().count) == (110, 110)


def test_what_a_first_collection_costs_at_most_is_said_before_it_starts(
    store: Store, double: X, collector: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(posts: int, limit: str, price: Decimal) -> str:
        double.posts.clear()
        double.post(*range(1000, 1000 + posts))
        store.remove(layout.index("keeper"))
        with pytest.raises(LimitReached):
            book = Ledger(store, f"{limit}-{posts}", Decimal(limit), lambda: NOW)
            collector(ledger=book, price=price).collect()
        return json.loads(capsys.readouterr().out.splitlines()[0])["message"]

    assert said(4000, "0.02", POST_READ) == (
        "keeper: the first collection buys at most 3200 posts of @keeper_of_light for $16.000;"
        " the limit of $0.02 a month lets it take 800 month(s)"
    )
    assert "at most 7 posts of @keeper_of_light for $0.007;" in said(7, "0.01", OWNED_POST_READ)


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
    "cap": (429, {"title": "UsageCapExceeded", "period": "Monthly"}, "cap"),
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
    assert [tuple(gap) for gap in stored_index(store).gaps()] == [(1249, None), (0, 1050)]

    collector().collect()
    assert held(store) == list(range(1000, 1250))
    assert len(double.sold) == 250
    unknown = 100 if kind == "nonsense" else 0
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


# What passes by itself

PASSING: dict[str, tuple[int, Any, dict[str, str]]] = {
    "rate": (429, {"title": "Too Many Requests"}, {}),
    "rate with reset": (
        429,
        {"title": "Too Many Requests"},
        {"x-rate-limit-remaining": "0", "x-rate-limit-reset": "RESET"},
    ),
    "internal": (500, {"title": "Internal Server Error"}, {}),
    "gateway": (503, b"<html>Bad Gateway</html>", {}),
}


@pytest.mark.parametrize("case", PASSING)
def test_what_passes_by_itself_is_waited_for(
    store: Store,
    double: X,
    collector: Make,
    ledger: Ledger,
    time: Time,
    case: str,
) -> None:
    status, body, headers = PASSING[case]
    reset = {"RESET": str(int(NOW.timestamp()) + 600)}
    headers = {name: reset.get(value, value) for name, value in headers.items()}
    double.post(*range(1000, 1250))
    times = 1 if reset["RESET"] in headers.values() else 4
    for _ in range(times):
        double.fail(status, body, headers)
    collector().collect()
    assert held(store) == list(range(1000, 1250))
    assert len(double.sold) == ledger.spent().count == 250
    waited = (time.now - NOW).total_seconds()
    assert waited == (600 if times == 1 else 5 + 10 + 20 + 40)


@pytest.mark.parametrize("case", PASSING)
def test_an_execution_without_time_waits_no_longer(
    double: X, collector: Make, ledger: Ledger, time: Time, case: str
) -> None:
    status, body, _ = PASSING[case]
    collector().collect()
    spent = ledger.spent().usd
    for _ in range(9):
        double.fail(status, body)
    with pytest.raises(Unavailable):
        collector(patience=time.patience(140)).collect()
    assert (time.now - NOW).total_seconds() == 5 + 10 + 20 + 40
    assert ledger.spent().usd == spent, "X charges for no request that it refused"


def test_an_execution_that_is_told_to_end_keeps_the_page_that_it_has_bought(
    store: Store, double: X, collector: Make, time: Time
) -> None:
    double.post(*range(1000, 1250))
    patience = time.patience()
    double.before_answer = lambda: patience.end() if len(double.asked) == 2 else None
    with pytest.raises(Ended, match="nothing is lost"):
        collector(patience=patience).collect()
    assert held(store) == list(range(1050, 1250))
    assert [tuple(gap) for gap in stored_index(store).gaps()] == [(1249, None), (0, 1050)]
    assert store.read(layout.collecting("keeper")) is None
    collector().collect()
    assert len(double.sold) == 250


def test_an_execution_that_is_told_to_end_waits_no_longer(
    double: X, collector: Make, time: Time
) -> None:
    patience = time.patience()

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if (time.now - NOW).total_seconds() == 3:
            patience.end()

    patience = type(patience)(patience.until, time.clock, sleep)
    double.fail(503, {})
    with pytest.raises(Unavailable):
        collector(patience=patience).collect()
    assert (time.now - NOW).total_seconds() == 3


# Owned reads


def test_the_keys_of_another_user_read_nothing(collector: Make, ledger: Ledger) -> None:
    class Client:
        def get_user(self, **asked: Any) -> Any:
            assert asked["user_auth"] is True
            return {"data": {"id": "783214"}}

        def get_users_tweets(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("asked")

    timeline = Timeline(Client(), keys_of="99")  # type: ignore[arg-type]
    with pytest.raises(XError, match=r"user 99's .* user 783214's; set `read_with: bearer`") as no:
        collector(timeline=timeline).collect()
    assert (no.value.kind, ledger.spent().usd) == ("credentials", USER_READ)


# Nonsense


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
    assert stored_index(store).newest_id == "1000"
    assert held(store) == [1000]


def test_the_index_keeps_unknown_keys(store: Store, double: X, collector: Make) -> None:
    index = {"version": 2, "user_id": "783214", "handle": "keeper_of_light", "language": "en"}
    store.write(layout.index("keeper"), json.dumps(index).encode(), generation=0)
    double.post(1000)
    collector().collect()
    held_ids = [{"oldest": "1", "newest": "1000"}]
    written = {"held": held_ids, "count": 1, "stranger": None}
    assert json.loads(read(store, layout.index("keeper"))) == index | written


def test_a_damaged_index_is_an_error_of_one_line(store: Store, double: X, collector: Make) -> None:
    store.write(layout.index("keeper"), b"{}", generation=0)
    with pytest.raises(UserError, match=r"index\.json: handle: .*; restore"):
        collector().collect()


def read(store: Store, name: str) -> bytes:
    found = store.read(name)
    assert found is not None
    return found.data


def stored_index(store: Store) -> Index:
    found = indexes.read(store, "keeper")
    assert found is not None
    return found.document
