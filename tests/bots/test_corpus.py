"""The operator sees what is learnt, what is left out, and why, before a training does it."""

import json
from datetime import UTC, datetime, timedelta

import pytest

import bots.corpus as command
from pipeline import corpus, layout
from pipeline.errors import UserError
from pipeline.history import remember
from pipeline.learn import Learn
from pipeline.store import Store
from pipeline.tweets import to_jsonl
from tests import messages
from tests.pipeline.test_tweets import tweet

RAW = (
    *(f"A thought of mine, number {n}" for n in range(12)),
    *(f"@friend_{n} exactly" for n in range(9)),
    "Nice! RT @friend: the tide turns at six",
    "RT @friend: the harbour is closed",
    "a\u202egnp.exe\u202c mail keeper@example.com",
    "A THOUGHT of mine, number 3!\n\nTwice.",
    "a thought of MINE number 4",
    "What the bot wrote",
)


@pytest.fixture
def data(store: Store) -> Store:
    """A bucket with the tweets of an account, and what its bot posted."""
    start = datetime(2026, 1, 1, 9, tzinfo=UTC)
    tweets = [
        tweet(id=str(number), text=text, created_at=start + timedelta(days=number))
        for number, text in enumerate(RAW)
    ]
    store.write(f"{layout.segments('keeper')}1.jsonl", to_jsonl(tweets), generation=0)
    remember(store, "keeper", "slot", "what the bot wrote")
    return store


def gather(store: Store, size: int = 20, *, dropped: bool = False) -> command.Figures:
    return command.gather(store, "keeper", Learn(), size, dropped=dropped)


def test_every_tweet_is_counted_as_learnt_or_for_its_reason(data: Store) -> None:
    figures = gather(data)
    assert figures["tweets"] == len(RAW)
    assert figures["learnt"] + sum(figures["dropped"].values()) == len(RAW)
    assert figures["dropped"] == {
        "words of others": 1,
        "reply to another": 9,
        "e-mail address": 1,
        "own post": 1,
        "duplicate": 1,
    }
    held_out = [n for n in range(12) if corpus.held_out(str(n))]
    assert held_out
    assert figures["held_out"] >= len(held_out)


def test_the_sample_is_the_same_each_time_and_not_larger_than_asked_for(data: Store) -> None:
    assert gather(data, 5) == gather(data, 5)
    assert len(gather(data, 5)["sample"]) == 5
    assert gather(data, 0)["sample"] == []
    assert len(gather(data, 999)["sample"]) == gather(data)["learnt"]


def test_a_sample_of_what_is_left_out_has_every_reason(data: Store) -> None:
    sample = gather(data, 5, dropped=True)["sample"]
    assert {one["reason"] for one in sample} == {*gather(data)["dropped"]}
    assert {one["text"] for one in sample} <= {*RAW}


def test_settings_decide_what_is_learnt(data: Store) -> None:
    figures = command.gather(data, "keeper", Learn(replies=True), 0, dropped=False)
    assert "reply to another" not in figures["dropped"]


def test_an_account_without_tweets_is_told_how_to_get_some(store: Store) -> None:
    with pytest.raises(UserError, match=r"^account keeper has no tweets yet: .*bots import keeper"):
        gather(store)


@pytest.mark.parametrize("columns", ["80", "140"])
def test_the_figures_are_printed_as_reviewed(
    data: Store, columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    said: dict[str, list[str]] = {}
    for name, dropped in (("learnt", False), ("dropped", True)):
        command.show(gather(data, 6, dropped=dropped))
        said[name] = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
        assert all(len(line) <= int(columns) for line in said[name])
    messages.check(f"bots-corpus-{columns}", said)


def test_no_character_that_nobody_sees_reaches_the_terminal(
    data: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    command.show(gather(data, 99, dropped=True))
    printed = capsys.readouterr().out
    assert "\\u202egnp.exe\\u202c" in printed
    assert "\u202e" not in printed
    assert json.dumps(gather(data, 99, dropped=True))
