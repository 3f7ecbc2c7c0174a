"""What the scraper logs, and why it refuses, is what was reviewed."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import pytest

import scraper_image.__main__ as program
from pipeline import last_collection, layout, lease
from pipeline.errors import PipelineError, UserError
from pipeline.lease import Terms
from pipeline.spend import Ledger
from pipeline.store import Store
from pipeline.tweets import Tweet
from pipeline.x import Keys, Unanswered, XError, XRefused, XUnavailable
from scraper_image import timeline
from scraper_image.collect import Collector
from scraper_image.timeline import LARGEST, SMALLEST, Page, Timeline, User
from scraper_image.wait import Patience
from tests import messages
from tests.trainer.steps import Bucket, Steps

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ENVIRONMENT = {
    "ACCOUNT": "keeper",
    "HANDLE": "lampkeeper",
    "DATA_BUCKET": "bots-data",
    "X_BEARER_SECRET": "projects/p/secrets/s",
    "READS_USD_PER_MONTH": "5",
    "TASK_TIMEOUT": "60",
}
POST = {"id": "7", "text": "a text", "created_at": "2026-11-01T10:00:00.000Z"}


class X:
    """A client whose methods give out these responses, and note what was asked."""

    def __init__(self, *responses: Any) -> None:
        self.responses = list(responses)
        self.asked: list[Any] = []

    def _respond(self, name: str, *given: Any, **named: Any) -> Any:
        self.asked.append([name, *given, named])
        response = self.responses.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    def get_user(self, **named: Any) -> Any:
        return self._respond("get_user", **named)

    def get_users_tweets(self, *given: Any, **named: Any) -> Any:
        return self._respond("get_users_tweets", *given, **named)

    @property
    def timeline(self) -> Timeline:
        return Timeline(self)  # pyright: ignore[reportArgumentType]


class Program:
    """`python -m scraper_image` in this process, on a bucket in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = Steps(Bucket())
        self.opened: list[str] = []
        self.secret = "token"
        self.x = X()
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(program.clock, "now", lambda: NOW)
        monkeypatch.setattr(program.Store, "open", self._open)
        monkeypatch.setattr(program.secrets, "latest", self._secret)
        monkeypatch.setattr(program.x, "client", self._client)
        monkeypatch.setattr(program.x, "poster", self._poster)
        # The process that runs the tests keeps its own handler.
        monkeypatch.setattr(program.signal, "signal", Mock())

    def run(self, *responses: Any, **changes: str) -> int:
        self.x.responses = list(responses)
        with self._monkeypatch.context() as patch:
            for name, value in (ENVIRONMENT | changes).items():
                patch.setenv(name, value)
            return program.main()

    def _open(self, name: str) -> Store:
        self.opened.append(name)
        return self.store

    def _secret(self, name: str) -> str:
        assert name == ENVIRONMENT["X_BEARER_SECRET"]
        return self.secret

    def _poster(self, keys: Keys) -> X:
        assert keys.user_id == "42"
        return self.x

    def _client(self, bearer: str) -> X:
        assert bearer == "token"
        return self.x


def test_each_collection_says_what_came_of_it_as_reviewed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scraper, said = Program(monkeypatch), dict[str, Any]()

    def run(name: str, *responses: Any, **changes: str) -> None:
        status = scraper.run(*responses, **changes)
        log = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        said[name] = [status, *log]

    user = {"data": {"id": "42", "public_metrics": {"tweet_count": 7}}}
    last = {"meta": {"result_count": 0}}
    scraper.secret = " \n"
    run("no token")
    run("still no token")
    scraper.secret = "token"
    run("an unknown user", {"errors": [{"detail": "no", "type": "x/resource-not-found"}]})
    run("a first collection", user, {"data": [POST, {"id": "6"}], "meta": {}})
    run("nothing new", last)
    run("no money", HANDLE="lampkeeper", READS_USD_PER_MONTH="0")
    run("still no money", READS_USD_PER_MONTH="0")
    run("no money for all accounts", STACK_READS_USD_PER_MONTH="0")
    run("somebody else's handle", {"data": {"id": "43"}}, HANDLE="somebody")
    run("still somebody else's handle", HANDLE="somebody")
    run("a new handle of the same person", user, last, HANDLE="fogkeeper")
    run("the same handle in other letters", last, HANDLE="FogKeeper")
    taken = Terms(run="another", expires=NOW + timedelta(minutes=1), by="collector")
    lease.take(scraper.store, layout.collecting("keeper"), taken, NOW)
    run("another execution collects", HANDLE="fogkeeper")
    lease.release(scraper.store, layout.collecting("keeper"), "another", "collector")
    run("an outage", XUnavailable("nonsense", "no sense"), HANDLE="fogkeeper")
    keys = {"api_key": "a", "api_secret": "b", "access_token": "42-c", "access_token_secret": "d"}
    owned: dict[str, str] = {"HANDLE": "fogkeeper", "X_KEYS_SECRET": ENVIRONMENT["X_BEARER_SECRET"]}
    run("no keys of the account's own", **owned)
    scraper.secret = ""
    run("no keys of the account's own yet", **owned)
    scraper.secret = json.dumps(keys)
    run("the account's own keys", {"data": [POST | {"id": "9"}], "meta": {}}, **owned)
    scraper.secret = "token"
    for name, value in {
        "ACCOUNT": "",
        "HANDLE": "a" * 16,
        "DATA_BUCKET": "",
        "X_BEARER_SECRET": "",
        "READS_USD_PER_MONTH": "-0.01",
        "TASK_TIMEOUT": "",
    }.items():
        run(f"{name} {value}", **{name: value})
    messages.check("scraper", said)
    assert set(scraper.opened) == {"bots-data"}
    found = last_collection.read(scraper.store, "keeper")
    assert found is not None
    assert (found.at, found.state) == (NOW, None)
    assert json.loads(json.dumps(scraper.x.asked[-1])) == [
        "get_users_tweets",
        "42",
        {
            "since_id": "7",
            "until_id": None,
            "max_results": 100,
            "pagination_token": None,
            "exclude": ["retweets"],
            "tweet_fields": timeline.TWEET_FIELDS,
            "user_auth": True,
        },
    ]


def raised(call: Callable[[], object]) -> PipelineError:
    with pytest.raises(PipelineError) as error:
        call()
    assert "\n" not in str(error.value)
    return error.value


def page(x: X, since: int = 5, until: int | None = 9) -> Page:
    return x.timeline.page("42", since, until, 100, "more")


def test_a_response_without_sense_has_its_reviewed_line() -> None:
    said: dict[str, str] = {}
    users: dict[str, Any] = {
        "no id": {"data": {}},
        "an id that is no number": {"data": {"id": "x"}},
        "no object": {"data": None},
    }
    for name, response in users.items():
        said[f"user: {name}"] = str(raised(lambda r=response: X(r).timeline.user("lampkeeper")))
    pages: dict[str, dict[str, Any]] = {
        "no id": {"data": [{"text": "t", "created_at": POST["created_at"]}]},
        "an odd id": {"data": [POST | {"id": "x"}]},
        "no post": {"data": [7]},
        "no meta": {"data": [POST]},
        "an odd meta": {"data": [POST], "meta": 7},
        "too old": {"data": [POST | {"id": "5"}], "meta": {}},
        "too new": {"data": [POST | {"id": "9"}], "meta": {}},
        "too new and odd": {"data": [{"id": "9"}], "meta": {}},
    }
    for name, response in pages.items():
        error = raised(lambda r=response: page(X(r)))
        assert isinstance(error, XUnavailable)
        said[f"page: {name}"] = f"{error.kind}: {error}"
    messages.check("timeline", said)


def test_a_page_has_all_that_was_asked_for() -> None:
    low, high = POST | {"id": "6"}, POST | {"id": "8", "note_tweet": {"text": "a long text"}}
    found = page(X({"data": [high, low], "meta": {"next_token": "t"}}))
    assert [(tweet.id, tweet.text, tweet.source) for tweet in found.tweets] == [
        ("8", "a long text", "timeline"),
        ("6", "a text", "timeline"),
    ]
    assert found.more == "t"
    assert page(X({"meta": {}})) == Page([], [], None)
    assert page(X({"data": [POST | {"id": "1"}], "meta": {}}), 0, None).tweets


def test_a_post_without_text_or_time_is_odd_and_any_other_is_kept() -> None:
    for odd in ({"text": None}, {"created_at": None}, {"created_at": "soon"}, {"text": 7}):
        found = page(X({"data": [POST | odd, POST | {"id": "6"}], "meta": {}}))
        assert ([tweet.id for tweet in found.tweets], found.odd, found.ids) == (
            ["6"],
            ["7"],
            [6, 7],
        )
    odd_values: list[Any] = [None, 7, "x", {}, [], [None], {"urls": [{}]}, {"text": None}]
    for field in timeline.TWEET_FIELDS:
        if field != "created_at":
            for value in odd_values:
                found = page(X({"data": [POST | {field: value}], "meta": {}}))
                assert [tweet.text for tweet in found.tweets] == ["a text"], (field, value)


def only(**fields: Any) -> dict[str, Any]:
    """What a post with these fields becomes, beside its id, text, time, source and version."""
    (tweet,) = page(X({"data": [POST | fields], "meta": {}})).tweets
    known = tweet.model_dump(exclude_defaults=True)
    for name in ("id", "text", "created_at", "source"):
        known.pop(name)
    return known


def reference(kind: str, id_: str) -> dict[str, str]:
    return {"type": kind, "id": id_}


def test_the_kind_of_a_post_says_whom_it_answers() -> None:
    answer = {"referenced_tweets": [reference("replied_to", "3")]}
    assert only() == {"kind": "post"}
    assert only(**answer, in_reply_to_user_id="42") == {
        "kind": "thread",
        "answers": "3",
        "answers_user": "42",
    }
    assert only(**answer, in_reply_to_user_id="8")["kind"] == "reply"
    assert only(**answer) == {"kind": "reply", "answers": "3"}
    assert only(in_reply_to_user_id="8") == {"kind": "reply", "answers_user": "8"}
    quote = reference("quoted", "4")
    assert only(referenced_tweets=[quote]) == {"kind": "quote", "quotes": "4"}
    both = {"referenced_tweets": [quote, reference("replied_to", "3")]}
    assert only(**both, in_reply_to_user_id="8") == {
        "kind": "reply",
        "answers": "3",
        "answers_user": "8",
        "quotes": "4",
    }
    assert only(referenced_tweets=[reference("retweeted", "3")])["kind"] == "retweet"


def test_a_post_keeps_what_x_says_of_it() -> None:
    url = {"start": 0, "end": 23, "url": "https://t.co/a"}
    assert only(
        lang="en",
        source="Tide Times",
        display_text_range=[3, 9],
        attachments={"media_keys": ["3_1", "7_2", "16_3", "99_4"]},
        entities={"urls": [url | {"expanded_url": "https://example.org/long"}, {"start": 1}]},
        edit_history_tweet_ids=["5", "7"],
    ) == {
        "kind": "post",
        "language": "en",
        "app": "Tide Times",
        "shown": (3, 9),
        "media": ("photo", "video", "animated_gif", "other"),
        "links": ({"start": 0, "end": 23, "address": "https://example.org/long"},),
        "edits": ("5", "7"),
    }
    assert only(edit_history_tweet_ids=["7"]) == {"kind": "post"}


def test_a_text_that_ends_in_a_link_to_its_own_post_was_cut() -> None:
    def leads_to(address: str) -> bool:
        url = {"start": 0, "end": 23, "url": "https://t.co/a", "expanded_url": address}
        return only(entities={"urls": [url]}).get("cut", False)

    assert leads_to("https://twitter.com/i/web/status/7")
    assert leads_to("https://x.com/i/web/status/7")
    assert not leads_to("https://x.com/i/web/status/77")
    assert not leads_to("https://example.org/i/web/status/7")


def test_a_long_post_has_the_links_of_its_whole_text() -> None:
    url = {"start": 0, "end": 23, "url": "https://t.co/a"}
    own = {"urls": [url | {"expanded_url": "https://x.com/i/web/status/7"}]}
    note = {"text": "a long text", "entities": {"urls": [url | {"unwound_url": "https://b.org/"}]}}
    found = only(note_tweet=note, entities=own, display_text_range=[0, 5])
    assert found == {
        "kind": "post",
        "links": ({"start": 0, "end": 23, "address": "https://b.org/"},),
    }


def test_one_user_is_asked_for_by_handle() -> None:
    for posts, said in ((9, 9), ("x", None), (None, None)):
        x = X({"data": {"id": 42, "public_metrics": {"tweet_count": posts}}})
        assert x.timeline.user("lampkeeper") == User("42", said)
        asked = {"username": "lampkeeper", "user_fields": ["public_metrics"], "user_auth": False}
        assert x.asked == [["get_user", asked]]


class Pages:
    """A timeline that gives out these pages and errors."""

    def __init__(self, *pages: Page | Exception) -> None:
        self.pages = list(pages)
        self.sizes: list[int] = []

    def user(self, handle: str) -> User:
        return User("42", None)

    def page(self, user: str, since: Any, until: Any, size: int, more: Any) -> Page:
        self.sizes.append(size)
        found = self.pages.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def a_tweet(number: int) -> Tweet:
    return Tweet(id=str(number), text="t", created_at=NOW, source="timeline")


def collector(pages: Pages, usd: str = "5") -> tuple[Collector, Ledger, Steps]:
    store = Steps(Bucket())
    ledger = Ledger(store, layout.reads("keeper"), Decimal(usd), lambda: NOW)
    patience = Patience(NOW + timedelta(minutes=30), lambda: NOW, lambda _: None)
    made = Collector(store, "keeper", "lampkeeper", pages, ledger, patience, "e")  # pyright: ignore[reportArgumentType]
    return made, ledger, store


def test_a_page_is_as_large_as_the_money_that_is_left_within_xs_limits() -> None:
    # A user costs 0.01 dollars and a post 0.005.
    for usd, size in (("0.035", SMALLEST), ("0.11", 20), ("5", LARGEST), ("0.06", 10)):
        pages = Pages(Page([], [], None))
        collector(pages, usd)[0].collect()
        assert pages.sizes == [size]
    with pytest.raises(UserError, match=r"raise the limit"):
        collector(Pages(), "0.034")[0].collect()


@pytest.mark.parametrize(
    ("errors", "usd", "count"),
    [
        ([XRefused("forbidden", "no")], "0.010", 0),
        ([XUnavailable("nonsense", "no")], "0.510", 100),
        ([XUnavailable("rate", "no"), XRefused("forbidden", "no")], "0.010", 0),
        ([XUnavailable("unavailable", "no"), XRefused("forbidden", "no")], "0.010", 0),
        ([XUnavailable("unavailable", "no")] * 3 + [Page([], [], None)], "0.010", 0),
        ([Unanswered("unavailable", "no"), XRefused("forbidden", "no")], "0.510", 100),
        ([Unanswered("unavailable", "no")] * 2 + [Page([], [], None)], "1.010", 200),
        ([Unanswered("unavailable", "no")] * 3 + [Page([], [], None)], "1.510", 300),
    ],
)
def test_what_x_may_have_sold_stays_in_the_ledger(
    errors: list[XError | Page], usd: str, count: int
) -> None:
    made, ledger, _ = collector(Pages(*errors))
    with suppress(XError):
        made.collect()
    assert (str(ledger.spent().usd), ledger.spent().count) == (usd, count)


def test_empty_pages_are_passed_over_but_not_for_ever() -> None:
    empty = Page([], [], "more")
    pages = Pages(*[empty] * 99, Page([a_tweet(7)], [], None))
    made, ledger, _ = collector(pages)
    assert made.collect().newest_id == "7"
    assert str(ledger.spent().usd) == "0.015"
    error = raised(collector(Pages(*[empty] * 101))[0].collect)
    messages.check("collect", {"empty pages": f"{getattr(error, 'kind', None)}: {error}"})


def test_x_is_asked_for_pages_of_the_sizes_that_it_sends() -> None:
    assert (timeline.SMALLEST, timeline.LARGEST) == (5, 100)
