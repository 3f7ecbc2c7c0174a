"""What the scraper logs, and why it refuses, is what was reviewed."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

import scraper_image.__main__ as program
from pipeline import index, last_collection, layout
from pipeline.errors import PipelineError, UserError
from pipeline.index import Index
from pipeline.spend import Ledger
from pipeline.store import PreconditionFailed, Store
from pipeline.tweets import Tweet
from pipeline.x import XError, XRefused, XUnavailable
from scraper_image import timeline
from scraper_image.collect import Collector
from scraper_image.timeline import LARGEST, SMALLEST, Page, Timeline
from tests import messages
from tests.trainer.steps import Bucket, Steps

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ENVIRONMENT = {
    "ACCOUNT": "keeper",
    "HANDLE": "lampkeeper",
    "DATA_BUCKET": "bots-data",
    "X_BEARER_SECRET": "projects/p/secrets/s",
    "READS_USD_PER_MONTH": "5",
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

    def run(self, *responses: Any, **changes: str) -> int:
        self.x.responses = list(responses)
        for name, value in (ENVIRONMENT | changes).items():
            self._monkeypatch.setenv(name, value)
        return program.main()

    def _open(self, name: str) -> Store:
        self.opened.append(name)
        return self.store

    def _secret(self, name: str) -> str:
        assert name == ENVIRONMENT["X_BEARER_SECRET"]
        return self.secret

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

    user = {"data": {"id": "42"}}
    last = {"meta": {"result_count": 0}}
    scraper.secret = " \n"
    run("no token")
    scraper.secret = "token"
    run("an unknown user", {"errors": [{"detail": "no", "type": "x/resource-not-found"}]})
    run("a first collection", user, {"data": [POST], "meta": {}})
    run("nothing new", last)
    run("no money", READS_USD_PER_MONTH="0")
    run("a changed handle", HANDLE="somebody")
    run("the same handle in other letters", last, HANDLE="LampKeeper")
    for name, value in {
        "ACCOUNT": "",
        "HANDLE": "a" * 16,
        "DATA_BUCKET": "",
        "X_BEARER_SECRET": "",
        "READS_USD_PER_MONTH": "-0.01",
    }.items():
        run(f"{name} {value}", **{name: value})
    messages.check("scraper", said)
    assert set(scraper.opened) == {"bots-data"}
    assert last_collection.read(scraper.store, "keeper") == NOW
    assert json.loads(json.dumps(scraper.x.asked[-1])) == [
        "get_users_tweets",
        "42",
        {
            "since_id": "7",
            "until_id": None,
            "max_results": 100,
            "pagination_token": None,
            "exclude": ["retweets"],
            "tweet_fields": ["created_at", "note_tweet"],
        },
    ]


def raised(call: Callable[[], object]) -> PipelineError:
    with pytest.raises(PipelineError) as error:
        call()
    assert "\n" not in str(error.value)
    return error.value


def page(x: X, since: str | None = "5", until: str | None = "9") -> Page:
    return x.timeline.page("42", since, until, 100, "more")


def test_a_response_without_sense_has_its_reviewed_line() -> None:
    said: dict[str, str] = {}
    users: dict[str, Any] = {
        "no id": {"data": {}},
        "an id that is no number": {"data": {"id": "x"}},
        "no object": {"data": None},
    }
    for name, response in users.items():
        said[f"user: {name}"] = str(raised(lambda r=response: X(r).timeline.user_id("lampkeeper")))
    for name, response in {
        "no text": {"data": [{"id": "7", "created_at": POST["created_at"]}]},
        "no time": {"data": [{"id": "7", "text": "t"}]},
        "no id": {"data": [{"text": "t", "created_at": POST["created_at"]}]},
        "an odd id": {"data": [POST | {"id": "x"}]},
        "an odd note": {"data": [POST | {"note_tweet": 7}]},
        "no post": {"data": [7]},
        "an odd meta": {"data": [POST], "meta": 7},
        "too old": {"data": [POST | {"id": "5"}]},
        "too new": {"data": [POST | {"id": "9"}]},
    }.items():
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
    assert page(X({"meta": {}})) == Page([], None)
    assert page(X({"data": [POST | {"id": "1"}]}), None, None).tweets


def test_one_user_is_asked_for_by_handle() -> None:
    x = X({"data": {"id": 42}})
    assert x.timeline.user_id("lampkeeper") == "42"
    assert x.asked == [["get_user", {"username": "lampkeeper"}]]


class Pages:
    """A timeline that gives out these pages and errors."""

    def __init__(self, *pages: Page | Exception) -> None:
        self.pages = list(pages)
        self.sizes: list[int] = []

    def user_id(self, handle: str) -> str:
        return "42"

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
    made = Collector(store, "keeper", "lampkeeper", pages, ledger)  # pyright: ignore[reportArgumentType]
    return made, ledger, store


def test_a_page_is_as_large_as_the_money_that_is_left_within_xs_limits() -> None:
    # A user costs 0.01 dollars and a post 0.005.
    for usd, size in (("0.035", SMALLEST), ("0.11", 20), ("5", LARGEST), ("0.06", 10)):
        pages = Pages(Page([], None))
        collector(pages, usd)[0].collect()
        assert pages.sizes == [size]
    with pytest.raises(UserError, match=r"raise the limit"):
        collector(Pages(), "0.034")[0].collect()


@pytest.mark.parametrize(
    ("error", "usd", "count"),
    [
        (XRefused("forbidden", "no"), "0.010", 0),
        (XUnavailable("unavailable", "no"), "0.510", 100),
        (XUnavailable("nonsense", "no"), "0.510", 100),
        (XUnavailable("rate", "no"), "0.010", 0),
    ],
)
def test_what_x_may_have_sold_stays_in_the_ledger(error: XError, usd: str, count: int) -> None:
    made, ledger, _ = collector(Pages(error))
    with pytest.raises(XError):
        made.collect()
    assert (str(ledger.spent().usd), ledger.spent().count) == (usd, count)


def test_empty_pages_are_passed_over_but_not_for_ever() -> None:
    empty = Page([], "more")
    pages = Pages(*[empty] * 99, Page([a_tweet(7)], None))
    made, ledger, _ = collector(pages)
    assert made.collect().newest_id == "7"
    assert str(ledger.spent().usd) == "0.015"
    error = raised(collector(Pages(*[empty] * 101))[0].collect)
    messages.check("collect", {"empty pages": f"{getattr(error, 'kind', None)}: {error}"})


def test_another_collection_at_the_same_time_has_its_reviewed_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, _, store = collector(Pages(Page([a_tweet(7)], None)))
    moved = Index(user_id="42", handle="lampkeeper")
    index.write(store, "keeper", moved, generation=0)

    def fail(*_: object, **__: object) -> None:
        raise PreconditionFailed

    monkeypatch.setattr(index, "write", fail)
    messages.check("collect-race", {"moved": str(raised(made.collect))})


def test_x_is_asked_for_pages_of_the_sizes_that_it_sends() -> None:
    assert (timeline.SMALLEST, timeline.LARGEST) == (5, 100)
