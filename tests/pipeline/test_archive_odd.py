"""One odd entry costs that entry alone; a file that is damaged as a whole is refused."""

import os
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipeline import archive
from pipeline.archive import files as found_files
from pipeline.archive import javascript
from pipeline.errors import UserError
from tests.pipeline.archives import (
    ACCOUNT,
    KEEPER,
    entry,
    js,
    left_out,
    note,
    read,
    texts,
    tweets_js,
    unpacked,
    zipped,
)

EDITS = {"editTweetIds": ["7", "8"]}


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (7, "no object"),
        (None, "no object"),
        ({}, "no id"),
        (entry(7, None), "no text"),
        (entry(7, "x") | {"full_text": 7}, "a text that is none"),
        (entry(7, "x", id_str="seven"), "an id that is no number"),
        (entry(7, "x", id_str="7" * 21), "an id that is no number"),
        (entry(7, "x", id_str=None), "no id"),
        (entry(7, "x", id_str=True), "an id that is no number"),
        (entry(7, "x", created_at=None), "no time"),
        (entry(7, "x", created_at="yesterday"), "an odd time"),
        (entry(7, "x", created_at=[1]), "an odd time"),
        (entry(7, "x", created_at="Sun Abc 01 10:00:05 +0000 2026"), "an odd time"),
        (entry(7, "x", created_at="2026-11-01T10:00:05"), "a time without a zone"),
        (entry(7, "x", created_at="0001-01-01T00:00:00+14:00"), "an odd time"),
        (entry(7, "x", entities=7), "an odd entities"),
        (entry(7, "x", entities={"urls": 7}), "entities with odd urls"),
        (entry(7, "x", entities={"urls": [7]}), "entities with odd urls"),
        (entry(7, "x", entities={"media": "x"}), "entities with odd media"),
        (entry(7, "x", entities={"urls": [{}]}), "odd places in its text"),
        (entry(7, "x", entities={"urls": [{"indices": ["a", 2]}]}), "odd places in its text"),
        (entry(7, "x", display_text_range=["0"]), "odd places in its text"),
        (entry(7, "x", lang=7), "an odd lang"),
        (entry(7, "x", lang="\ud800"), "an odd character"),
        (entry(7, "x", source={}), "an odd source"),
        (entry(7, "x", edit_info=7), "an odd edit_info"),
        (entry(7, "x", edit_info={"initial": {}}), "an odd edit_info"),
        (entry(7, "x", edit_info={"initial": None}), "an odd edit_info"),
        (
            entry(7, "x", edit_info={"initial": EDITS | {"editTweetIds": [None]}}),
            "an odd edit_info",
        ),
        (entry(7, "x", in_reply_to_status_id={"a": 1}), "an odd in_reply_to_status_id"),
        (entry(7, "RT @a: x", id_str="seven"), "an id that is no number"),
    ],
)
def test_an_odd_entry_is_left_out_counted_and_named(tmp_path: Path, odd: Any, reason: str) -> None:
    tweets = js("YTD.tweets.part0", [{"tweet": entry(1, "one")}, odd, {"tweet": entry(9, "nine")}])
    found = read(tmp_path, {"data/tweets.js": tweets})
    assert texts(found) == {"1": "one", "9": "nine"}
    assert left_out(found) == {reason: (1, ["mine.zip: data/tweets.js, entry 2"])}


@pytest.mark.parametrize(
    "facts",
    [
        {"edit_info": None},
        {"note_tweet": None},
        {"entities": None, "extended_entities": None},
        {"entities": {"urls": None, "media": None}},
        {"lang": None, "source": None, "display_text_range": None},
    ],
)
def test_a_fact_that_is_null_is_not_known(tmp_path: Path, facts: dict[str, Any]) -> None:
    found = read(tmp_path, {"data/tweets.js": tweets_js(entry(1, "one", **facts))})
    assert texts(found) == {"1": "one"}
    assert not found.left_out


def test_half_a_surrogate_pair_is_mended(tmp_path: Path) -> None:
    tweets = tweets_js(entry(1, "half a pair: \ud83d"), entry(2, "a pair: \ud83d\ude00"))
    assert texts(read(tmp_path, {"data/tweets.js": tweets})) == {
        "1": "half a pair: \ufffd",
        "2": "a pair: \U0001f600",
    }


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (7, "no object"),
        ({}, "no text"),
        ({"noteTweet": {"core": {"text": None}}}, "no text"),
        (
            note(102, "x") | {"noteTweet": note(102, "x")["noteTweet"] | {"createdAt": None}},
            "no time",
        ),
        (note(102, "x", urls=[7]), "an odd link"),
        (note(102, "\ud800"), None),
        (note(102, "a b", urls=[{"shortUrl": "a", "expandedUrl": "\ud800"}]), "an odd character"),
    ],
)
def test_an_odd_note_costs_the_rest_of_its_tweet_alone(
    tmp_path: Path, odd: Any, reason: str | None
) -> None:
    found = read(
        tmp_path,
        {
            "data/tweets.js": tweets_js(entry(2, "first…"), entry(103, "second…")),
            "data/note-tweet.js": js("YTD.note_tweet.part0", [odd, note(1, "first and all")]),
        },
    )
    assert texts(found)["2"] == "first and all"
    named = {reason: (1, ["mine.zip: data/note-tweet.js, entry 1"])} if reason else {}
    assert left_out(found) == named


def test_only_the_first_places_of_many_odd_entries_are_named(tmp_path: Path) -> None:
    tweets = tweets_js(*[entry(n, None) for n in range(1, 100)])
    ((count, places),) = left_out(read(tmp_path, {"data/tweets.js": tweets})).values()
    assert (count, len(places)) == (99, 5)


# Files that are damaged as a whole


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"alert(1)",
        b"window.YTD.tweets.part0 = ",
        b"window.YTD.tweets.part0 = [{",
        b"window.YTD.tweets.part0 = {}",
        b"window.YTD.tweets.part0 = 7",
        b"window.YTD.tweets.part0 = [7,]",
        b"window.YTD.tweets.part0 = [7 8]",
        b"window.YTD.tweets.part0 = [] []",
        b"window.YTD.tweets.part0 = [7",
        b'window.YTD.tweets.part0 = ["\xff"]',
        b"window.YTD.tweets.part0 = " + b"[" * 100_000,
    ],
)
def test_a_file_that_is_damaged_is_refused_by_name(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(UserError, match=r"mine\.zip: data/tweets\.js .*download it again") as e:
        read(tmp_path, {"data/tweets.js": text})
    assert "\n" not in str(e.value)


def test_a_number_of_any_length_is_read(tmp_path: Path) -> None:
    tweets = f'window.YTD.t = [{{"id": {"9" * 5000}, "text": "x"}}]'
    found = read(tmp_path, {"data/tweets.js": tweets})
    assert [*found.left_out] == ["an id that is no number"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_the_windows_size_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    text = tweets_js(*[entry(n, f"fog \u00e9 \U0001f600 {n}" * n) for n in range(1, 30)])
    expected = texts(read(tmp_path, {"data/tweets.js": text}))
    monkeypatch.setattr(javascript, "_WINDOW", size)
    monkeypatch.setattr(found_files, "_BLOCK", size)
    assert texts(read(tmp_path, {"data/tweets.js": text})) == expected
    # The head of a file is read at once.
    parts = [b"var a = [" + b" " * 1000 + b"1", b"2,3", b"4]"]
    assert [*javascript.entries(iter(parts))] == [12, 34]


def test_an_entry_of_any_length_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(javascript, "_LONGEST", 1 << 20)
    monkeypatch.setattr(javascript, "_WINDOW", 1 << 10)
    with pytest.raises(UserError, match="has an entry of over 1 million characters"):
        read(tmp_path, {"data/tweets.js": "window.a = [" + '"' + "x" * (3 << 20)})


# Zips, folders and paths that are not what they should be


@pytest.mark.parametrize(
    "name", ["../data/tweets.js", "/data/tweets.js", "data/../../x", "..\\x", "data/tweets/../.."]
)
def test_a_zip_with_paths_that_lead_out_of_it_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="leads out of the archive"):
        read(tmp_path, {"data/tweets.js": tweets_js(entry(1, "mine")), name: "x"})


def test_a_folder_with_links_that_lead_out_of_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.js").write_text(tweets_js(entry(1, "somebody else's")))
    folder = unpacked(tmp_path / "mine", {"data/account.js": ACCOUNT})
    (folder / "data/tweets.js").symlink_to(tmp_path / "secret.js")
    with pytest.raises(UserError, match=r"mine: data/tweets\.js is no file of this folder"):
        archive.read([folder])
    (folder / "data/tweets.js").unlink()
    os.mkfifo(folder / "data/tweets.js")
    with pytest.raises(UserError, match=r"mine: data/tweets\.js is no file of this folder"):
        archive.read([folder])


def test_a_foreign_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tweets\.js is missing, so X did not make this archive"):
        read(tmp_path, {"holiday/photo.jpg": "x", "data/deleted-tweets.js": "x"})


@pytest.mark.parametrize("declared", [20_000, 10])
def test_a_zip_bomb_is_refused_while_it_unpacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: int
) -> None:
    monkeypatch.setattr(found_files, "_MOST_BYTES", 10_000)
    monkeypatch.setattr(found_files, "_BLOCK", 1_000)
    path = zipped(tmp_path / "mine.zip", {"data/tweets.js": b"window.a = [" + b" " * 19_988})
    # The directory at the end of the zip says how long each file is, and may lie.
    data = path.read_bytes()
    assert data.count((20_000).to_bytes(4, "little")) == 2
    path.write_bytes(data.replace((20_000).to_bytes(4, "little"), declared.to_bytes(4, "little")))
    with pytest.raises(UserError, match="unpacks to over" if declared > 10 else "not a whole zip"):
        archive.read([path], KEEPER)


def test_methods_that_x_does_not_use_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as made:
        made.writestr("data/tweets.js", tweets_js(entry(1, "x")))
    with pytest.raises(UserError, match="is compressed in a way that X does not use"):
        archive.read([tmp_path / "a.zip"], KEEPER)


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no zip at all")
    with pytest.raises(UserError, match=r"a\.zip: not a whole zip file"):
        archive.read([tmp_path / "a.zip"], KEEPER)
    (tmp_path / "a.pdf").write_bytes(b"no zip at all")
    with pytest.raises(UserError, match=r"a\.pdf is of no kind that can be read; give a zip"):
        archive.read([tmp_path / "a.pdf"], KEEPER)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("nowhere.zip", "nowhere.js", "nowhere"):
        with pytest.raises(UserError, match=rf"{name}: cannot be read \(No such file"):
            archive.read([tmp_path / name], KEEPER)


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(archive.Kept, "add", full)
    with pytest.raises(UserError, match=r"mine\.zip: its tweets do not fit .*TMPDIR"):
        read(tmp_path, {"data/tweets.js": tweets_js(entry(1, "x"))})
