"""What is trained on, and what is held out of it for ever."""

import pytest

from pipeline import corpus, index, layout
from pipeline.errors import UserError
from pipeline.index import Index, Range
from pipeline.store import Store
from pipeline.tweets import Tweet, to_jsonl
from tests.pipeline.test_tweets import tweet


def ids(tweets: list[Tweet]) -> list[str]:
    return [tweet.id for tweet in tweets]


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
