"""What a tweet of an archive keeps: its kind, whom it answers, its links, and whether it is cut."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.tweets import Kind, Link
from tests.pipeline.archives import KEEPER, entry, one, read, tweets_js

STATUS = "https://twitter.com/baker/status/42"


def urls(*addresses: str, start: int = 0) -> dict[str, Any]:
    """The entities of a text with these links at its start, 23 characters each."""
    return {
        "urls": [
            {
                "url": f"https://t.co/{n}",
                "expanded_url": address,
                "indices": [str(start + 24 * n), str(start + 24 * n + 23)],
            }
            for n, address in enumerate(addresses)
        ]
    }


@pytest.mark.parametrize(
    ("facts", "kind", "answers", "answers_user"),
    [
        ({}, "post", None, None),
        ({"in_reply_to_user_id_str": "77", "in_reply_to_status_id_str": "5"}, "thread", "5", "77"),
        ({"in_reply_to_user_id": 77, "in_reply_to_status_id": 5}, "thread", "5", "77"),
        ({"in_reply_to_user_id_str": "9", "in_reply_to_status_id_str": "5"}, "reply", "5", "9"),
        # Somebody else has the handle now.
        ({"in_reply_to_user_id_str": "9", "in_reply_to_screen_name": "keeper"}, "reply", None, "9"),
        ({"in_reply_to_screen_name": "Keeper"}, "thread", None, None),
        ({"in_reply_to_screen_name": "baker"}, "reply", None, None),
        ({"in_reply_to_status_id_str": "5"}, "reply", "5", None),
        ({"in_reply_to_user_id_str": "-1", "in_reply_to_screen_name": "gone"}, "reply", None, None),
        ({"in_reply_to_user_id_str": None, "in_reply_to_status_id": None}, "post", None, None),
        ({"in_reply_to_user_id_str": "", "in_reply_to_status_id_str": ""}, "post", None, None),
    ],
)
def test_a_tweet_knows_its_kind_and_whom_it_answers(
    tmp_path: Path, facts: dict[str, Any], kind: Kind, answers: str | None, answers_user: str | None
) -> None:
    tweet = one(tmp_path, "fog", **facts)
    assert (tweet.kind, tweet.answers, tweet.answers_user) == (kind, answers, answers_user)


def test_without_a_user_id_the_handle_tells_an_answer_to_oneself(tmp_path: Path) -> None:
    answer = entry(7, "fog", in_reply_to_user_id="77", in_reply_to_screen_name="KEEPER")
    files = {"data/tweets.js": tweets_js(answer)}
    found = read(tmp_path, files, owner=KEEPER._replace(user_id=None))
    assert [tweet.kind for tweet in found.tweets] == ["thread"]


@pytest.mark.parametrize(
    ("address", "quotes"),
    [
        (STATUS, "42"),
        (f"{STATUS}?s=20", "42"),
        (f"{STATUS}/", "42"),
        ("http://x.com/a_b/status/42#m", "42"),
        ("https://mobile.twitter.com/baker/statuses/42", "42"),
        ("https://twitter.com/#!/baker/status/42", "42"),
        (f"{STATUS}/photo/1", None),
        ("https://example.org/baker/status/42", None),
        ("https://twitter.com.example.org/baker/status/42", None),
        ("https://twitter.com/baker/status/42a", None),
        ("https://twitter.com/i/web/status", None),
    ],
)
def test_a_link_to_a_tweet_quotes_it(tmp_path: Path, address: str, quotes: str | None) -> None:
    tweet = one(tmp_path, "https://t.co/0 fog", entities=urls(address))
    assert (tweet.quotes, tweet.kind) == (quotes, "quote" if quotes else "post")


def test_the_last_quoted_tweet_counts_and_an_answer_stays_an_answer(tmp_path: Path) -> None:
    other = "https://x.com/baker/status/43"
    tweet = one(tmp_path, "fog", entities=urls(STATUS, other), in_reply_to_screen_name="baker")
    assert (tweet.quotes, tweet.kind) == ("43", "reply")
    assert one(tmp_path, "fog", quoted_status_id_str="44").quotes == "44"


def test_links_keep_their_places_and_full_addresses(tmp_path: Path) -> None:
    tweet = one(tmp_path, "fog", entities=urls("https://a.example", "https://b.example", start=4))
    assert tweet.links == (
        Link(start=4, end=27, address="https://a.example"),
        Link(start=28, end=51, address="https://b.example"),
    )


def test_media_are_known_by_their_kinds(tmp_path: Path) -> None:
    photo, video = {"media": [{"type": "photo"}]}, {"media": [{"type": "video"}] * 2}
    assert one(tmp_path, "x", entities=photo).media == ("photo",)
    assert one(tmp_path, "x", entities=photo, extended_entities=video).media == ("video", "video")
    assert one(tmp_path, "x").media == ()


@pytest.mark.parametrize(
    ("source", "app"),
    [
        ('<a href="https://x.com" rel="nofollow">Bakers &amp; Co</a>', "Bakers & Co"),
        ("web", "web"),
        ("", None),
        (None, None),
    ],
)
def test_the_app_is_the_text_of_its_link(tmp_path: Path, source: Any, app: str | None) -> None:
    assert one(tmp_path, "fog", source=source).app == app


def test_language_and_the_text_without_mentions_are_kept(tmp_path: Path) -> None:
    tweet = one(tmp_path, "@a fog", lang="ja", display_text_range=["3", "6"])
    assert (tweet.language, tweet.shown) == ("ja", (3, 6))


@pytest.mark.parametrize(
    "text",
    [
        "Sun Nov 01 10:00:05 +0000 2026",
        "2026-11-01 10:00:05 +0000",
        "2026-11-01T10:00:05.000Z",
        "2026-11-01T12:00:05+02:00",
    ],
)
def test_times_are_read_as_archives_have_written_them(tmp_path: Path, text: str) -> None:
    assert one(tmp_path, "fog", created_at=text).created_at == datetime(
        2026, 11, 1, 10, 0, 5, tzinfo=UTC
    )


LONG = "We have lived beside the harbour for sixteen years and saw the water freeze on t…"
FULL = "x" * 115 + "…"
MINE = "https://twitter.com/i/web/status/7"
ELSEWHERE = "https://example.org/song"


@pytest.mark.parametrize(
    ("text", "entities", "cut"),
    [
        (f"{LONG} https://t.co/abc", {}, True),
        (f"{LONG} https://t.co/abc ", {}, True),
        (f"{LONG} https://t.co/abc", urls(MINE, start=len(LONG) + 1), True),
        (f"{LONG} https://t.co/abc", urls(ELSEWHERE, start=len(LONG) + 1), False),
        (f"{FULL} {'https://t.co/abcdefghij'}", urls(ELSEWHERE, start=len(FULL) + 1), True),
        (f"{LONG} https://t.co/abc", {"media": [{"type": "photo"}]}, False),
        ("x" * 139 + "…", {}, True),
        ("x" * 279 + "…", {}, True),
        ("x" * 200 + "…", {}, False),
        ("Well…", {}, False),
        ("fog… and light https://t.co/abc", {}, False),
        ("fog https://t.co/abc", {}, False),
    ],
)
def test_a_text_that_x_cut_is_marked(
    tmp_path: Path, text: str, entities: dict[str, Any], cut: bool
) -> None:
    assert one(tmp_path, text, entities=entities).cut is cut
