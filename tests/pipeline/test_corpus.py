"""What is trained on, and what is held out of it for ever."""

import json
from pathlib import Path

import pytest

from pipeline import corpus, index, layout
from pipeline.errors import UserError
from pipeline.index import Index, Range
from pipeline.store import Store
from pipeline.tweets import Tweet, to_jsonl
from tests.pipeline.test_tweets import tweet


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("The light is lit.", "The light is lit."),
        ("bread &amp; butter &lt;3 &gt;", "bread & butter <3 >"),
        ("&amp;lt; is how one writes it", "&lt; is how one writes it"),
        ("Fog https://t.co/aB3 again", "Fog again"),
        ("Fog https://t.co/aB3", "Fog"),
        ("見てhttps://t.co/aB3です", "見て です"),
        ("Read http://t.co/aB3?amp=1.", "Read"),
        ("Old http://example.com/a-b_(c)?d=e#f link", "Old link"),
        ("@baker @the_keeper good morning", "good morning"),
        (".@baker: good morning", "good morning"),
        ("@baker\nhello", "hello"),
        ("good morning @baker", "good morning @baker"),
        ("RT @baker: fresh bread", None),
        ("RT if you like bread", "RT if you like bread"),
        ("one\r\n\r\n  two \n three", "one\ntwo\nthree"),
        ("much   space\tand\u00a0more", "much space and more"),
        ("cafe\u0301", "caf\u00e9"),
        ("a <|endoftext|> b", "a b"),
        ("a &lt;|endoftext|&gt; b", "a b"),
        ("bell\x07 ringing", "bell ringing"),
        ("🍞🍞", None),
        ("12:30!", None),
        ("@baker https://t.co/aB3", None),
        ("", None),
        ("パンが焼けた", "パンが焼けた"),
    ],
)
def test_cleaning_leaves_what_the_author_wrote(raw: str, cleaned: str | None) -> None:
    assert corpus.clean(raw) == cleaned


def test_no_link_of_the_conformance_suite_survives(shared_data: Path) -> None:
    for case in json.loads((shared_data / "text/extract.json").read_text())["urls"]:
        left = corpus.clean(case["text"]) or ""
        assert not [url for url in case["expected"] if url.startswith("http") and url in left], case


def test_no_recorded_retweet_survives(shared_data: Path) -> None:
    recorded = json.loads((shared_data / "x-api/05-timeline-shapes-recorded.json").read_text())
    texts = [post["text"] for post in recorded["body"]["data"]]
    cleaned = [corpus.clean(text) for text in texts]
    assert [text.startswith("RT @") for text in texts] == [text is None for text in cleaned]
    assert "NYC < London (weather this week)" in cleaned


def ids(tweets: list[Tweet]) -> list[str]:
    return [tweet.id for tweet in tweets]


def test_the_corpus_is_ordered_by_id_as_a_number() -> None:
    unordered = [tweet(id=number, text=f"tweet {number}") for number in ("1000", "20", "3")]
    assert ids(corpus.corpus(unordered)) == ["3", "20", "1000"]


def test_the_longest_text_of_an_id_is_kept() -> None:
    cut, whole = tweet(text="It begins…"), tweet(text="It begins and goes on.", source="archive")
    assert corpus.corpus([cut, whole]) == corpus.corpus([whole, cut]) == [whole]


def test_the_oldest_tweet_of_a_text_is_kept_when_newer_ones_arrive() -> None:
    old, new = tweet(id="9", text="Good Morning"), tweet(id="10", text="good morning &amp;"[:12])
    assert ids(corpus.corpus([new, old])) == ["9"]


def test_the_held_out_set_is_a_tenth() -> None:
    held_out = sum(corpus.held_out(str(number)) for number in range(20_000))
    assert 1850 < held_out < 2150


def test_the_held_out_set_is_the_same_for_ever() -> None:
    assert [n for n in range(100) if corpus.held_out(str(n))] == [
        11,
        46,
        70,
        74,
        76,
        78,
        79,
        81,
        92,
    ]


def test_the_digest_names_ids_and_texts_in_their_order() -> None:
    one, two = tweet(id="1", text="one"), tweet(id="2", text="two")
    digests = {
        corpus.digest(tweets)
        for tweets in ([], [one], [one, two], [two, one], [tweet(id="1", text="one!")])
    }
    assert len(digests) == 5
    assert corpus.digest([one]) == corpus.digest([tweet(id="1", text="one", source="archive")])
    assert corpus.digest([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_all_segments_of_an_account_are_read_and_no_others(store: Store) -> None:
    for account, segment in (("keeper", "a"), ("keeper", "b"), ("keeper2", "c")):
        name = f"{layout.segments(account)}{segment}.jsonl"
        store.write(name, to_jsonl([tweet(id=str(ord(segment)))]), generation=0)
    store.write(layout.index("keeper"), b"{}", generation=0)
    assert ids(corpus.read(store, "keeper")) == ["97", "98"]
    assert corpus.read(store, "nobody") == []


def test_what_was_collected_is_counted_without_reading_a_segment(store: Store) -> None:
    assert corpus.collected(store, "keeper") == corpus.Collected(tweets=0, newest_id=None)
    for account in ("keeper", "keeper2"):
        for digest, new in (("a" * 64, 60), ("b" * 64, 15)):
            name = layout.archive_segment(account, digest, new)
            store.write(name, b"not even tweets", generation=0)
    assert corpus.collected(store, "keeper") == corpus.Collected(tweets=75, newest_id=None)
    timeline = Index(
        user_id="1", handle="lampkeeper", held=[Range(oldest="0", newest="99")], count=7
    )
    index.write(store, "keeper", timeline, generation=0)
    assert corpus.collected(store, "keeper") == corpus.Collected(tweets=82, newest_id="99")


def test_a_damaged_segment_is_named(store: Store) -> None:
    store.write(f"{layout.segments('keeper')}a.jsonl", b"no tweet\n", generation=0)
    with pytest.raises(UserError, match=r"tweets/keeper/segments/a\.jsonl: line 1"):
        corpus.read(store, "keeper")


def test_a_bot_does_not_learn_from_its_own_posts() -> None:
    collected = [tweet(text="Fish &amp; chips again"), tweet(id="2", text="Nothing new")]
    left = corpus.without(corpus.corpus(collected), ["Fish & Chips again", "Something else"])
    assert ids(left) == ["2"]
