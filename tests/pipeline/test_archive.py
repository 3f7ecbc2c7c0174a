"""X's account archives: every layout they had, in zips, in folders and alone."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.samples import archive as sample
from pipeline import archive
from pipeline.curation import curate
from pipeline.errors import UserError
from pipeline.learn import Learn
from tests.pipeline.archives import (
    ACCOUNT,
    AT,
    KEEPER,
    entry,
    js,
    manifest,
    note,
    read,
    texts,
    tweets_js,
    unpacked,
    zipped,
)
from tests.pipeline.curating import clean


def test_the_sample_archive_reads_as_the_tweets_that_it_was_written_from(tmp_path: Path) -> None:
    written = [(f"Night {i} & <calm>", AT + timedelta(days=i)) for i in range(120)]
    written.insert(60, ("A long night. " * 40 + "& <over>", AT + timedelta(days=59, hours=1)))
    sample.write(tmp_path / "a.zip", "keeper", written)
    found = archive.read([tmp_path / "a.zip"])
    assert [
        (tweet.text, tweet.created_at) for tweet in curate(found.tweets, Learn(replies=True)).kept
    ] == [(text.strip(), at) for text, at in written]
    assert not found.left_out


# Where archives have their tweets

SHORT = {"id_str": "7", "text": "fog &amp; light", "created_at": "2024-03-01 10:00:05 +0000"}
GRAILBIRD = f"Grailbird.data.tweets_2013_01 =\n [{json.dumps(SHORT)}]"
FULL = json.dumps(entry(7, "fog &amp; light"))
USER = 'var user_details = {"id": "77", "screen_name": "keeper", "full_name": "The keeper"}'
MONTHS = 'var tweet_index = [{"file_name": "data/js/tweets/2013_01.js", "tweet_count": 1}]'
LAYOUTS: dict[str, dict[str, str | bytes]] = {
    "2013": {
        "data/js/tweets/2013_01.js": GRAILBIRD,
        "data/js/user_details.js": USER,
        "data/js/tweet_index.js": MONTHS,
        "tweets.csv": "not read: it has the same tweets",
    },
    "2017": {"tweet.js": f"window.YTD.tweet.part0 = [ {FULL} ]", "account.js": ACCOUNT},
    "2019": {"data/tweet.js": f"window.YTD.tweet.part0 = [ {FULL} ]", "data/account.js": ACCOUNT},
    "2022": {
        "data/tweets.js": f'\ufeffwindow.YTD.tweets.part0 = [{{"tweet": {FULL}}}];\n',
        "data/manifest.js": manifest(tweets=1),
    },
    "2024, zipped again": {
        "twitter-2024/data/tweets.js": f'window.YTD.tweets.part0 = [{{"tweet": {FULL}}}]',
        "twitter-2024/data/account.js": ACCOUNT,
        "twitter-2024/data/manifest.js": manifest(tweets=1),
    },
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("how", ["zip", "folder"])
def test_every_layout_says_its_tweets_and_whose_they_are(
    tmp_path: Path, name: str, how: str
) -> None:
    make = zipped if how == "zip" else unpacked
    found = archive.read([make(tmp_path / "mine", LAYOUTS[name])])
    assert found.owner == KEEPER
    (tweet,) = found.tweets
    assert (tweet.id, tweet.text, tweet.created_at) == ("7", "fog &amp; light", AT)
    assert (tweet.source, tweet.kind, found.newest) == ("archive", "post", 7)


def test_all_parts_are_read_oldest_first(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "data/tweets.js": tweets_js(entry(1000, "newest"), entry(99, "older")),
            "data/tweets-part1.js": tweets_js(entry(5, "oldest"), part=1),
        },
    )
    assert list(texts(found).items()) == [("5", "oldest"), ("99", "older"), ("1000", "newest")]


def test_several_zips_of_one_archive_are_one(tmp_path: Path) -> None:
    parts = [
        zipped(
            tmp_path / "1.zip",
            {
                "data/tweets.js": tweets_js(entry(9, "new")),
                "data/manifest.js": manifest(tweets=1, tweets_part1=1, note_tweet=1),
            },
        ),
        zipped(
            tmp_path / "2.zip",
            {
                "data/tweets-part1.js": tweets_js(entry(5, "old…")),
                "data/note-tweet.js": js("YTD.note_tweet.part0", [note(4, "old and long")]),
            },
        ),
    ]
    for paths in (parts, parts[::-1]):
        found = archive.read(paths)
        assert texts(found) == {"5": "old and long", "9": "new"}
        assert found.newest == 9
    with pytest.raises(UserError, match=r"lacks tweets-part1\.js \(1 entries\) and 1 more"):
        archive.read(parts[:1])


@pytest.mark.parametrize("name", ["tweets.js", "tweet.js", "tweets (2).js", "2013_01.js"])
def test_a_lone_file_of_tweets_is_read_and_may_not_be_all(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(tweets_js(entry(7, "mine")))
    found = archive.read([tmp_path / name], KEEPER)
    assert texts(found) == {"7": "mine"}
    assert found.newest is None


def test_lone_parts_with_their_manifest_are_known_to_be_all(tmp_path: Path) -> None:
    unpacked(tmp_path, {"tweets.js": tweets_js(entry(7, "a")), "manifest.js": manifest(tweets=1)})
    found = archive.read([tmp_path / "tweets.js", tmp_path / "manifest.js"])
    assert (found.owner, found.newest) == (KEEPER, 7)


def test_nothing_but_tweets_and_their_owner_is_read(tmp_path: Path) -> None:
    damaged = b"\xff damaged"
    private = ("direct-messages", "like", "deleted-tweet-headers", "tweet-headers", "ip-audit")
    files: dict[str, Any] = {f"data/{name}.js": damaged for name in private}
    files |= {"data/tweets.js": tweets_js(entry(1, "mine")), "data/account.js": ACCOUNT}
    found = read(tmp_path, files, owner=None)
    assert texts(found) == {"1": "mine"}
    assert found.stray == []


# Edits, long posts, retweets


def edited(number: int, text: str, *ids: int) -> dict[str, Any]:
    control = {"editTweetIds": [str(one) for one in ids]}
    if number == ids[0]:
        return entry(number, text, edit_info={"initial": control})
    return entry(number, text, edit_info={"edit": {"editControlInitial": control}})


def test_an_edited_tweet_counts_once_with_its_last_text(tmp_path: Path) -> None:
    versions = [
        edited(9, "frist", 9, 10, 11),
        edited(11, "first!", 9, 10, 11),
        edited(10, "first", 9, 10, 11),
        edited(12, "never edited", 12),
    ]
    found = read(tmp_path, {"data/tweets.js": tweets_js(*versions)})
    assert texts(found) == {"11": "first!", "12": "never edited"}
    assert [tweet.edits for tweet in found.tweets] == [("9", "10", "11"), ()]
    assert [found.tweets.saw(number) for number in (8, 9, 10, 11)] == [False, True, True, True]


def test_where_the_living_version_is_not_there_the_newest_one_counts(tmp_path: Path) -> None:
    versions = [edited(9, "frist", 9, 10, 11), edited(10, "first", 9, 10, 11)]
    odd = edited(11, "", 9, 10, 11) | {"full_text": None}
    found = read(tmp_path, {"data/tweets.js": tweets_js(*versions, odd)})
    assert texts(found) == {"10": "first"}


def test_a_long_post_is_whole_and_escaped_like_the_others(tmp_path: Path) -> None:
    link = {"shortUrl": "https://t.co/abc", "expandedUrl": "https://example.org/fog"}
    found = read(
        tmp_path,
        {
            "data/tweets.js": tweets_js(
                entry(100, "before"),
                entry(103, "It begins… https://t.co/x", display_text_range=["0", "9"]),
                entry(104, "the same second"),
            ),
            "data/note-tweet.js": js(
                "YTD.note_tweet.part0",
                [note(102, "It begins & <ends> https://t.co/abc", urls=[link])],
            ),
        },
    )
    assert texts(found)["103"] == "It begins &amp; &lt;ends&gt; https://t.co/abc"
    assert texts(found)["104"] == "the same second"
    tweet = found.tweets.get(103)
    assert tweet is not None
    assert (tweet.cut, tweet.shown) == (False, None)
    assert [tweet.text[link.start : link.end] for link in tweet.links] == ["https://t.co/abc"]
    assert clean(tweet.text) == "It begins & <ends>"


@pytest.mark.parametrize("number", [102, 999], ids=["another second", "no tweet above"])
def test_a_note_without_its_tweet_changes_no_other_tweet(tmp_path: Path, number: int) -> None:
    gone = note(number, "gone", AT + timedelta(seconds=40))
    found = read(
        tmp_path,
        {
            "data/tweets.js": tweets_js(entry(103, "a later tweet")),
            "data/note-tweet.js": js("YTD.note_tweet.part0", [gone]),
        },
    )
    assert texts(found) == {"103": "a later tweet"}


def test_retweets_are_counted_and_left_out(tmp_path: Path) -> None:
    tweets = [entry(3, "RT @a: hi"), entry(2, "RT it"), entry(1, "x", retweeted_status={"id": 5})]
    found = read(tmp_path, {"data/tweets.js": tweets_js(*tweets)})
    assert texts(found) == {"2": "RT it"}
    assert (found.retweets, found.newest) == (2, 3)


def test_deleted_tweets_are_known_by_their_ids_alone(tmp_path: Path) -> None:
    deleted = entry(4, "gone", deleted_at="Mon Nov 24 06:05:11 +0000 2025")
    found = read(
        tmp_path,
        {
            "data/tweets.js": tweets_js(entry(7, "mine")),
            "data/deleted-tweets.js": js("YTD.deleted_tweets.part0", [{"tweet": deleted}]),
        },
    )
    assert texts(found) == {"7": "mine"}
    assert [*found.tweets.deleted()] == [4]


def test_an_archive_without_tweets_is_empty(tmp_path: Path) -> None:
    found = read(tmp_path, {"data/tweets.js": "window.YTD.tweets.part0 = [ ]"})
    assert not found.tweets
    assert found.newest is None


def test_an_id_of_the_future_does_not_say_how_far_the_archive_reaches(tmp_path: Path) -> None:
    tweets = [entry(2**62, "a typing error"), entry(1_700_000_000_000_000_000, "mine")]
    found = read(tmp_path, {"data/tweets.js": tweets_js(*tweets)})
    assert len(found.tweets) == 2
    assert found.newest == 1_700_000_000_000_000_000


# Parts that are missing, and parts of something else


def test_what_the_manifest_lists_and_is_not_there_is_named(tmp_path: Path) -> None:
    files = {"data/tweets.js": tweets_js(entry(1, "mine")), "data/manifest.js": manifest(tweets=2)}
    with pytest.raises(UserError, match=r"lacks tweets\.js \(1 of 2 entries\)"):
        read(tmp_path, files)
    files["data/manifest.js"] = manifest(tweets=1, tweets_part1=30)
    with pytest.raises(UserError, match=r"lacks tweets-part1\.js \(30 entries\)"):
        read(tmp_path, files)


def test_a_month_that_is_missing_is_named(tmp_path: Path) -> None:
    files = dict(LAYOUTS["2013"])
    months = [
        {"file_name": f"data/js/tweets/2013_0{month}.js", "tweet_count": 1} for month in (1, 2)
    ]
    files["data/js/tweet_index.js"] = f"var tweet_index = {json.dumps(months)}"
    with pytest.raises(UserError, match=r"lacks js/tweets/2013_02\.js \(1 entries\)"):
        read(tmp_path, files)


def test_a_part_of_an_archive_is_read_on_demand_and_reaches_nowhere(tmp_path: Path) -> None:
    files = {"data/tweets.js": tweets_js(entry(1, "mine")), "data/manifest.js": manifest(tweets=2)}
    found = read(tmp_path, files, partial=True)
    assert texts(found) == {"1": "mine"}
    assert found.missing == ["tweets.js (1 of 2 entries)"]
    assert found.newest is None


def test_a_file_that_the_manifest_does_not_list_is_not_read(tmp_path: Path) -> None:
    files = {
        "data/tweets.js": tweets_js(entry(1, "mine")),
        "data/tweets-part7.js": tweets_js(entry(2, "whose?")),
        "old/data/tweets.js": tweets_js(entry(3, "whose?")),
        "data/manifest.js": manifest(tweets=1),
    }
    found = read(tmp_path, files)
    assert texts(found) == {"1": "mine"}
    assert sorted(found.stray) == [
        "mine.zip: data/tweets-part7.js (its manifest does not list it)",
        "mine.zip: old/data/tweets.js (in another folder)",
    ]


def test_two_archives_at_once_are_refused(tmp_path: Path) -> None:
    files = {"a/data/tweets.js": tweets_js(entry(1, "a")), "b/tweet.js": tweets_js(entry(2, "b"))}
    with pytest.raises(UserError, match=r"has tweets of several archives, in a/, b/; import them"):
        read(tmp_path, files)
    both = [
        zipped(tmp_path / f"{n}.zip", {"data/tweets.js": tweets_js(entry(n, "x"))}) for n in (1, 2)
    ]
    with pytest.raises(UserError, match=r"are of two archives, or one is there twice"):
        archive.read(both, KEEPER)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("cut-by-x", {"post": 2}),
        ("overlap", {"post": 250}),
        ("replies-to-others", {"reply": 95, "post": 5}),
        ("texts-that-pass-the-filter", {"post": 4}),
        ("words-of-others", {"post": 4}),
    ],
)
def test_the_shared_cases_are_read_whole(
    shared_data: Path, name: str, kinds: dict[str, int]
) -> None:
    found = archive.read([shared_data.parent / "cases/tweets" / f"{name}.zip"], KEEPER)
    counted = [tweet.kind for tweet in found.tweets]
    assert {kind: counted.count(kind) for kind in {*counted}} == kinds
    assert not found.left_out
    assert {tweet.cut for tweet in found.tweets} == {name == "cut-by-x"}
