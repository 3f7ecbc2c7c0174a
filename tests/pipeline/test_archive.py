"""X's account archives: every layout they had, and what is not to be imported."""

import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.samples import archive as sample
from pipeline import archive, corpus
from pipeline.errors import UserError
from pipeline.tweets import Tweet

AT = datetime(2024, 3, 1, 10, 0, 5, tzinfo=UTC)


def js(name: str, value: Any) -> str:
    return f"window.{name} = {json.dumps(value)}"


def entry(number: int, text: str, **other: Any) -> dict[str, Any]:
    return {
        "id_str": str(number),
        "full_text": text,
        "created_at": f"{AT:%a %b %d %H:%M:%S +0000 %Y}",
        "retweeted": False,
        "truncated": False,
    } | other


def tweets_js(*entries: dict[str, Any], part: int = 0) -> str:
    return js(f"YTD.tweets.part{part}", [{"tweet": entry} for entry in entries])


def note(number: int, text: str, at: datetime = AT) -> dict[str, Any]:
    return {
        "noteTweet": {
            "noteTweetId": str(number),
            "createdAt": f"{at:%Y-%m-%dT%H:%M:%S}.000Z",
            "core": {"text": text},
        }
    }


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[Tweet]]:
    """Zips the files given by name and reads them as the archive of @keeper."""

    def read(files: dict[str, str | bytes], handle: str = "keeper") -> list[Tweet]:
        path = tmp_path / "twitter.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, text in files.items():
                zipped.writestr(name, text)
        return archive.read(path, handle)

    return read


Read = Callable[..., list[Tweet]]


def texts(tweets: list[Tweet]) -> dict[str, str]:
    return {tweet.id: tweet.text for tweet in tweets}


def test_the_sample_archive_reads_as_the_tweets_that_it_was_written_from(tmp_path: Path) -> None:
    written = [(f"Night {i} & <calm>", AT + timedelta(days=i)) for i in range(120)]
    written.insert(60, ("A long night. " * 40 + "& <over>", AT + timedelta(days=59, hours=1)))
    sample.write(tmp_path / "a.zip", "keeper", written)
    read = corpus.corpus(archive.read(tmp_path / "a.zip", "Keeper"))
    assert [(tweet.text, tweet.created_at) for tweet in read] == [
        (t.strip(), at) for t, at in written
    ]


def test_all_parts_are_read_oldest_first(read: Read) -> None:
    tweets = read(
        {
            "data/tweets.js": tweets_js(entry(1000, "newest"), entry(99, "older")),
            "data/tweets-part1.js": tweets_js(entry(5, "oldest"), part=1),
        }
    )
    assert texts(tweets) == {"5": "oldest", "99": "older", "1000": "newest"}
    assert tweets[0] == Tweet(id="5", text="oldest", created_at=AT, source="archive")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tweet.js", "window.YTD.tweet.part0 = [ {full} ]"),
        ("data/tweet.js", "window.YTD.tweet.part0 = [ {full} ]"),
        ("twitter-2024/data/tweets.js", '\ufeffwindow.YTD.tweets.part0 = [{"tweet": {full}}];\n'),
        ("data/js/tweets/2013_01.js", "Grailbird.data.tweets_2013_01 =\n [{short}]"),
    ],
    ids=["2018", "2019", "zipped again", "2013"],
)
def test_older_layouts_are_read(read: Read, name: str, text: str) -> None:
    full = json.dumps(entry(7, "fog &amp; light"))
    short = '{"id_str": "7", "text": "fog &amp; light", "created_at": "2024-03-01 10:00:05 +0000"}'
    tweets = read({name: text.replace("{full}", full).replace("{short}", short)})
    assert tweets == [Tweet(id="7", text="fog &amp; light", created_at=AT, source="archive")]


def test_retweets_are_left_out(read: Read) -> None:
    assert texts(read({"data/tweets.js": tweets_js(entry(1, "RT @a: hi"), entry(2, "RT it"))})) == {
        "2": "RT it"
    }


def test_an_edited_tweet_has_its_last_text(read: Read) -> None:
    ids = {"editTweetIds": ["9", "10", "11"]}
    versions = [
        entry(9, "frist", edit_info={"initial": ids}),
        entry(11, "first!", edit_info={"edit": {"editControlInitial": ids}}),
        entry(10, "first", edit_info={"edit": {"editControlInitial": ids}}),
        entry(12, "never edited", edit_info={"initial": {"editTweetIds": ["12"]}}),
    ]
    assert texts(read({"data/tweets.js": tweets_js(*versions)})) == {
        "11": "first!",
        "12": "never edited",
    }


def test_a_long_post_is_whole_and_escaped_like_the_others(read: Read) -> None:
    tweets = read(
        {
            "data/tweets.js": tweets_js(
                entry(100, "before"), entry(103, "It begins…"), entry(104, "the same second")
            ),
            "data/note-tweet.js": js("YTD.note_tweet.part0", [note(102, "It begins & <ends>")]),
        }
    )
    assert texts(tweets)["103"] == "It begins &amp; &lt;ends&gt;"
    assert texts(tweets)["104"] == "the same second"
    assert corpus.clean(tweets[1].text) == "It begins & <ends>"


@pytest.mark.parametrize("number", [102, 999], ids=["another second", "no tweet above"])
def test_a_note_without_its_tweet_changes_no_other_tweet(read: Read, number: int) -> None:
    later = AT + timedelta(seconds=40)
    tweets = read(
        {
            "data/tweets.js": tweets_js(entry(103, "a later tweet")),
            "data/note-tweet.js": js("YTD.note_tweet.part0", [note(number, "gone", later)]),
        }
    )
    assert texts(tweets) == {"103": "a later tweet"}


def test_an_archive_without_tweets_is_empty(read: Read) -> None:
    assert read({"data/tweets.js": "window.YTD.tweets.part0 = [ ]"}) == []


def test_nothing_but_tweets_and_the_manifest_is_read(read: Read) -> None:
    damaged = b"\xff damaged"
    private = ("direct-messages", "like", "account", "deleted-tweets", "tweet-headers", "ip-audit")
    files: dict[str, Any] = {f"data/{name}.js": damaged for name in private}
    assert texts(read(files | {"data/tweets.js": tweets_js(entry(1, "mine"))})) == {"1": "mine"}


# What is refused


def manifest(count: int, user: str = "keeper") -> str:
    kinds = {"tweets": {"files": [{"fileName": "data/tweets.js", "count": str(count)}]}}
    return js("__THAR_CONFIG", {"userInfo": {"userName": user}, "dataTypes": kinds})


def test_the_archive_of_somebody_else_is_refused(read: Read) -> None:
    files = {"data/tweets.js": tweets_js(entry(1, "mine")), "data/manifest.js": manifest(1)}
    assert len(read(files, handle="KEEPER")) == 1
    with pytest.raises(UserError, match="is the archive of @keeper, not of @baker"):
        read(files, handle="baker")


def test_an_archive_with_fewer_tweets_than_its_manifest_says_is_refused(read: Read) -> None:
    files = {"data/tweets.js": tweets_js(entry(1, "mine")), "data/manifest.js": manifest(2)}
    with pytest.raises(UserError, match=r"data/tweets\.js has 1 entries, and the manifest says 2"):
        read(files)


def test_an_archive_that_lacks_a_part_is_refused(read: Read) -> None:
    files = {"data/tweets-part1.js": tweets_js(entry(1, "mine")), "data/manifest.js": manifest(2)}
    with pytest.raises(UserError, match=r"data/tweets\.js has 0 entries, and the manifest says 2"):
        read(files)


@pytest.mark.parametrize(
    "name", ["../data/tweets.js", "/data/tweets.js", "data/../../x", "..\\x", "data/tweets/../.."]
)
def test_a_zip_with_paths_that_lead_out_of_it_is_refused(read: Read, name: str) -> None:
    with pytest.raises(UserError, match="leads out of the archive"):
        read({"data/tweets.js": tweets_js(entry(1, "mine")), name: "x"})


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
        b"window.YTD.tweets.part0 = [7]",
        b"window.YTD.tweets.part0 = [null]",
        b'window.YTD.tweets.part0 = [{"tweet": 7}]',
        b'window.YTD.tweets.part0 = [{"tweet": {}}]',
        b'window.YTD.tweets.part0 = [{"tweet": {"id": "1", "full_text": "a"}}]',
        b'window.YTD.tweets.part0 = [{"tweet": {"id": "1", "full_text": 7, "created_at": "now"}}]',
        b"window.YTD.tweets.part0 = " + b"[" * 100_000,
        tweets_js(entry(1, "x", edit_info={"initial": {}})).encode(),
        tweets_js(entry(1, "x", edit_info=7)).encode(),
        tweets_js(entry(1, "x", id_str="one")).encode(),
        tweets_js(entry(1, "x", created_at="yesterday")).encode(),
    ],
)
def test_damaged_tweets_are_refused_with_the_files_name(read: Read, text: bytes) -> None:
    with pytest.raises(UserError, match=r"twitter\.zip: data/tweets\.js .*download it again") as e:
        read({"data/tweets.js": text})
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("listed", [[7], [{}], [{"noteTweet": {"noteTweetId": "1"}}]])
def test_damaged_notes_are_refused_with_the_files_name(read: Read, listed: Any) -> None:
    files = {
        "data/tweets.js": tweets_js(entry(2, "mine")),
        "data/note-tweet.js": js("YTD.note_tweet.part0", listed),
    }
    with pytest.raises(UserError, match=r"data/note-tweet\.js has an entry that is not"):
        read(files)


@pytest.mark.parametrize("value", [7, {}, {"userInfo": {}}, {"userInfo": {"userName": "k"}}])
def test_a_damaged_manifest_is_refused(read: Read, value: Any) -> None:
    files = {
        "data/tweets.js": tweets_js(entry(2, "mine")),
        "data/manifest.js": js("__THAR_CONFIG", value),
    }
    with pytest.raises(UserError, match=r"data/manifest\.js is damaged"):
        read(files)


def test_a_foreign_zip_is_refused(read: Read) -> None:
    with pytest.raises(UserError, match=r"tweets\.js is missing, so X did not make this archive"):
        read({"holiday/photo.jpg": "x", "data/deleted-tweets.js": "x"})


def test_a_zip_bomb_is_not_unpacked(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MOST_BYTES", 10_000)
    with pytest.raises(UserError, match="unpacks to over"):
        read({"data/tweets.js": b" " * 20_000})


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"no zip at all")
    with pytest.raises(UserError, match=r"a\.zip: not a whole zip file"):
        archive.read(path, "keeper")


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_zip_that_was_cut_short_is_refused(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.zip"
    sample.write(path, "keeper", [("one", AT), ("two", AT)])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(UserError, match="not a whole zip file"):
        archive.read(path, "keeper")


def test_any_flipped_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    sample.write(path, "keeper", [("one", AT), ("two", AT)])
    whole, data = archive.read(path, "keeper"), path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            assert archive.read(path, "keeper") == whole
        except UserError as error:
            assert "\n" not in str(error)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.zip: cannot be read \(No such file"):
        archive.read(tmp_path / "nowhere.zip", "keeper")
    with pytest.raises(UserError, match="cannot be read"):
        archive.read(tmp_path, "keeper")
