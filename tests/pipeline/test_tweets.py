"""Tweets as lines of JSON."""

import pytest

from pipeline.errors import UserError
from pipeline.tweets import Tweet, from_jsonl, to_jsonl, together


def tweet(**other: object) -> Tweet:
    fields: dict[str, object] = {
        "id": "1",
        "text": "Fog.",
        "created_at": "2026-11-01T10:00:00Z",
        "source": "timeline",
    }
    return Tweet.model_validate(fields | other)


def test_tweets_come_back_as_they_were() -> None:
    tweets = [
        tweet(),
        tweet(id="2", text='two\nlines, "quotes" & 🗼\u2028and a line separator', source="archive"),
        tweet(id="3", created_at="2026-11-01T12:00:00+02:00"),
        tweet(id="4", kind="reply", answers="3", media=("photo",), shown=(5, 9), version=2),
    ]
    assert from_jsonl(to_jsonl(tweets), "segment") == tweets


def test_a_key_of_a_newer_program_is_ignored() -> None:
    line = to_jsonl([tweet()]).replace(b"{", b'{"mood": "calm", ', 1)
    assert from_jsonl(line, "segment") == [tweet()]


def test_times_are_kept_in_utc() -> None:
    assert tweet(created_at="2026-11-01T12:00:00+02:00") == tweet()


def test_half_a_surrogate_pair_can_be_kept() -> None:
    assert from_jsonl(to_jsonl([tweet(text="a \ud83d b")]), "s")[0].text == "a \ufffd b"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b'{"id": "x1", "text": "", "created_at": "2026-11-01T10:00:00Z", "source": "timeline"}',
        b'{"id": "1", "text": "", "created_at": "2026-11-01T10:00:00", "source": "timeline"}',
    ],
    ids=["empty", "cut", "a list", "id", "no zone"],
)
def test_a_damaged_segment_is_named_with_its_line(line: bytes) -> None:
    with pytest.raises(UserError, match=r"^tweets/a/1\.jsonl: line 2 is not a tweet"):
        from_jsonl(to_jsonl([tweet()]) + line + b"\n", "tweets/a/1.jsonl")


def test_a_line_without_a_version_is_of_version_1() -> None:
    line = b'{"id": "1", "text": "Fog.", "created_at": "2026-11-01T10:00:00Z", "source": "archive"}'
    assert from_jsonl(line, "s") == [tweet(version=1, source="archive")]


def test_a_later_read_of_a_tweet_adds_what_was_not_known() -> None:
    old = tweet(id="9", text="Fog & more fog", version=1)
    new = tweet(id="9", text="Fog & …", kind="thread", answers="8", cut=True, source="archive")
    for both in ([old, new], [new, old]):
        assert together([*both, tweet(id="7")]) == [
            tweet(id="7"),
            new.model_copy(update={"text": "Fog & more fog", "cut": False}),
        ]


def test_of_an_edited_tweet_the_newest_version_that_is_held_counts() -> None:
    first = tweet(id="5", text="Fgo.")
    second = tweet(id="6", text="Fog", edits=("5", "6"))
    third = tweet(id="8", text="Fog.", edits=("5", "6", "8"))
    other = tweet(id="7")
    assert together([third, first, other, second]) == [other, third]
    assert together([second, first]) == [second]
    assert together([first, other]) == [first, other]
