"""Tweets in files that are not X's JavaScript: csv, JSON Lines and lines of text."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline import archive
from pipeline.archive import formats
from pipeline.errors import UserError
from pipeline.tweets import Link, Tweet, to_jsonl
from tests.pipeline.archives import AT, KEEPER, entry, left_out, texts, unpacked

COLUMNS = (
    "tweet_id,in_reply_to_status_id,in_reply_to_user_id,timestamp,source,text,"
    "retweeted_status_id,retweeted_status_user_id,retweeted_status_timestamp,expanded_urls"
)
ROWS = [
    (
        '"9","","","2013-01-31 22:11:05 +0000","<a href=""x"">web</a>","fog &amp; light\nhttp://t.co/a"'
        ',"","","","http://a.example"'
    ),
    '"8","5","77","2013-01-30 22:11:05 +0000","web","answer","","","",""',
    '"7","5","6","2013-01-29 22:11:05 +0000","web","answer","","","",""',
    '"6","","","2013-01-28 22:11:05 +0000","web","RT: hi","4","3","2013-01-28 20:00:00 +0000",""',
    '"5","","","never","web","odd","","","",""',
]


def alone(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_the_csv_of_old_archives_is_read_like_their_javascript(tmp_path: Path) -> None:
    path = alone(tmp_path / "tweets.csv", "\r\n".join([COLUMNS, *ROWS]))
    found = archive.read([path], KEEPER)
    assert texts(found) == {
        "7": "answer",
        "8": "answer",
        "9": "fog &amp; light\nhttp://t.co/a",
    }
    assert [tweet.kind for tweet in found.tweets] == ["reply", "thread", "post"]
    tweet = found.tweets.get(9)
    assert tweet is not None
    assert tweet.created_at == datetime(2013, 1, 31, 22, 11, 5, tzinfo=UTC)
    assert tweet.links == (Link(start=16, end=29, address="http://a.example"),)
    assert tweet.app == "web"
    assert found.retweets == 1
    assert left_out(found) == {"an odd time": (1, ["tweets.csv, entry 5"])}


def test_a_folder_with_nothing_but_the_csv_is_read(tmp_path: Path) -> None:
    files = {
        "tweets.csv": "\n".join([COLUMNS, ROWS[1]]),
        "data/js/user_details.js": 'var user_details = {"id": "77", "screen_name": "keeper"}',
    }
    found = archive.read([unpacked(tmp_path / "old", dict(files))])
    assert (texts(found), found.owner, found.newest) == ({"8": "answer"}, KEEPER, 8)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has no column text, timestamp, tweet_id"),
        ("id,text\n1,x", "has no column timestamp, tweet_id"),
        (f'{COLUMNS}\n"1","open', "is damaged"),
        (f"{COLUMNS}\n{'x' * 200_000}", "is damaged"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_csv_of_something_else_is_refused(tmp_path: Path, text: str | bytes, fault: str) -> None:
    with pytest.raises(UserError, match=rf"a\.csv {fault}"):
        archive.read([alone(tmp_path / "a.csv", text)], KEEPER)


def test_segments_and_other_json_lines_are_read(tmp_path: Path) -> None:
    own = Tweet(id="5", text="a", created_at=AT, source="timeline", kind="quote", quotes="4")
    lines = [
        to_jsonl([own]).decode(),
        json.dumps(
            {"id": "6", "text": "version 1", "created_at": AT.isoformat(), "source": "archive"}
        ),
        "\n",
        json.dumps({"id": 7, "text": "b", "created_at": "2024-03-01T10:00:05Z"}),
        json.dumps({"tweet": entry(8, "c")}),
        json.dumps(entry(9, "RT @a: hi")),
        "{",
        "[" * 100_000,
        json.dumps({"id": "x", "text": "b", "created_at": "now", "source": "timeline"}),
    ]
    found = archive.read([alone(tmp_path / "a.jsonl", "\n".join(lines))], KEEPER)
    assert texts(found) == {"5": "a", "6": "version 1", "7": "b", "8": "c"}
    assert found.tweets.get(5) == own
    assert [tweet.version for tweet in found.tweets] == [2, 1, 2, 2]
    assert left_out(found) == {
        "no JSON": (2, ["a.jsonl, entry 6", "a.jsonl, entry 7"]),
        "an id that is no number": (1, ["a.jsonl, entry 8"]),
    }


def test_each_line_of_text_is_a_tweet_with_an_id_that_is_none_of_xs(tmp_path: Path) -> None:
    path = alone(tmp_path / "a.txt", "\ufefffog & light\r\n\n  fog\nfog\n\u3068\u3082\u3057\u3073")
    os.utime(path, (AT.timestamp(), AT.timestamp()))
    found = archive.read([path], KEEPER)
    assert sorted(texts(found).values()) == ["fog", "fog &amp; light", "\u3068\u3082\u3057\u3073"]
    for tweet in found.tweets:
        assert 2**63 <= int(tweet.id) < 2**64
        assert tweet.created_at == AT
    assert found.newest is None


def test_the_same_line_is_the_same_tweet_in_any_file(tmp_path: Path) -> None:
    one = archive.read([alone(tmp_path / "a.txt", "fog\nlight")], KEEPER)
    other = archive.read([alone(tmp_path / "b.txt", "rain\nlight")], KEEPER)
    assert texts(one).items() & texts(other).items() == {
        (number, text) for number, text in texts(one).items() if text == "light"
    }
    assert len(texts(one).keys() & texts(other).keys()) == 1


def test_lines_of_any_length_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_LONGEST_LINE", 1 << 20)
    with pytest.raises(UserError, match=r"a\.txt has a line of over 1 MiB"):
        archive.read([alone(tmp_path / "a.txt", "x" * (3 << 20))], KEEPER)
    with pytest.raises(UserError, match=r"a\.txt is not UTF-8"):
        archive.read([alone(tmp_path / "a.txt", b"\xff")], KEEPER)


def test_formats_without_an_owner_need_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing in a\.txt says whose tweets these are"):
        archive.read([alone(tmp_path / "a.txt", "fog")])
