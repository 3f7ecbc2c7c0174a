import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo.samples import archive, base, grammar
from demo.samples.grammar import VOICES
from pipeline.archive import read as read_archive
from pipeline.curation import curate
from pipeline.learn import Learn
from pipeline.text import has_link, has_mention, valid
from pipeline.tokens import Vocabulary

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize("voice", VOICES)
def test_tweets_are_distinct_and_fit_to_post(voice: str) -> None:
    tweets = grammar.tweets(voice)
    assert len(set(tweets)) == 600
    assert all(map(valid, tweets))
    assert not any(has_link(text) or has_mention(text) or "{" in text for text in tweets)


@pytest.mark.parametrize("voice", VOICES)
def test_tweets_are_the_same_each_time_and_more_of_them_begin_alike(voice: str) -> None:
    assert grammar.tweets(voice, 50) == grammar.tweets(voice, 60)[:50]
    assert grammar.tweets(voice, 50, seed=8) != grammar.tweets(voice, 50)


def test_a_timeline_ends_before_its_end_in_order() -> None:
    dated = grammar.timeline("keeper", NOON, 100)
    times = [at for _, at in dated]
    assert times == sorted(times)
    assert times[-1] < NOON
    assert [text for text, _ in dated] == grammar.tweets("keeper", 100)


def test_the_base_corpus_holds_no_tweet_of_the_voices() -> None:
    theirs = {text for voice in VOICES for text in grammar.tweets(voice, 2000)}
    assert theirs.isdisjoint(grammar.base_corpus())


def test_the_archive_is_read_as_the_tweets_that_it_was_made_of(tmp_path: Path) -> None:
    dated = grammar.timeline("baker", NOON, 200)
    long = " ".join(grammar.tweets("keeper", 8))
    assert len(long) > 280
    dated.append((long, NOON))
    archive.write(tmp_path / "archive.zip", "grumpybaker", dated)

    found = read_archive([tmp_path / "archive.zip"]).tweets
    tweets = curate(found, Learn(replies=True)).kept
    assert [tweet.text for tweet in tweets] == [text for text, _ in dated]
    assert all(
        abs((tweet.created_at - at).total_seconds()) < 1
        for tweet, (_, at) in zip(tweets, dated, strict=True)
    )


def test_the_archive_has_what_makes_real_ones_hard(tmp_path: Path) -> None:
    archive.write(tmp_path / "a.zip", "grumpybaker", grammar.timeline("baker", NOON, 200))
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        assert {"data/tweets.js", "data/tweets-part1.js", "data/direct-messages.js"} <= {
            *opened.namelist()
        }
        parts = [opened.read(f"data/tweets{part}.js").decode() for part in ("", "-part1")]
    tweets = [entry["tweet"] for text in parts for entry in json.loads(text.split(" = ", 1)[1])]
    texts = [tweet["full_text"] for tweet in tweets]
    assert len(tweets) > 200
    assert any(text.startswith("RT @") for text in texts)
    assert any("&amp;" in text for text in texts)
    assert any("in_reply_to_user_id" in tweet for tweet in tweets)
    assert any("edit" in tweet.get("edit_info", {}) for tweet in tweets)


def test_the_base_model_is_built_once(base_model: Path) -> None:
    before = base_model.stat().st_mtime_ns

    def built_again(done: int, steps: int) -> None:
        pytest.fail(f"it is built again: step {done} of {steps}")

    assert base.cached(base_model.parents[2], built_again) == base_model
    assert base_model.stat().st_mtime_ns == before


def test_the_base_model_spells_most_words_of_the_voices_as_one_token(base_model: Path) -> None:
    vocabulary = Vocabulary(base_model)
    texts = [text for voice in VOICES for text in grammar.tweets(voice)]
    words = sum(len(text.split()) for text in texts)
    assert sum(len(vocabulary.encode(text)) for text in texts) < 1.5 * words
