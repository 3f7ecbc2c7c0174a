"""When an account is trained: enough tweets, enough new ones, or other settings."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline import layout, news, release
from pipeline.errors import UserError
from pipeline.history import remember
from pipeline.learn import Learn
from pipeline.release import LivePointer
from pipeline.settings import Settings
from pipeline.store import Store
from pipeline.tweets import to_jsonl
from tests.pipeline.curating import declare
from tests.pipeline.test_tweets import tweet
from tests.trainer.test_release import a_manifest, put

SETTINGS = Settings(min_tweets=100, min_new_tweets=20)
FEW = Settings(min_tweets=20, min_new_tweets=20)
TAG = "20261122T120000Z-01234567"
LIVE = LivePointer(release=TAG, at=datetime(2026, 11, 22, tzinfo=UTC), by="test", previous=None)


def test_too_few_tweets_are_not_trained_on() -> None:
    assert news.too_few(100, 10, SETTINGS) is None
    assert "99 tweets, min_tweets is 100" in str(news.too_few(99, 10, SETTINGS))


def test_a_corpus_without_held_out_tweets_is_not_trained_on() -> None:
    assert "held-out" in str(news.too_few(100, 0, SETTINGS))


def test_too_few_new_tweets_are_skipped() -> None:
    assert "19 new tweets" in str(news.nothing_new(19, SETTINGS, same=True))
    assert news.nothing_new(20, SETTINGS, same=True) is None


def test_an_account_is_trained_again_with_other_settings() -> None:
    assert news.nothing_new(0, SETTINGS, same=False) is None


def collect(store: Store, *texts: str) -> None:
    tweets = [tweet(id=str(number), text=text) for number, text in enumerate(texts)]
    store.write(f"{layout.segments('keeper')}1.jsonl", to_jsonl(tweets), generation=0)


def released(store: Store, **learn: Any) -> None:
    """A live release that was trained on the first 60 tweets."""
    manifest = a_manifest(TAG).model_copy(
        update={"settings": FEW, "learn": Learn.model_validate(learn)}
    )
    put(store, manifest)
    ids = json.dumps({"train": [str(n) for n in range(60)], "held_out": []}).encode()
    store.write(layout.release("keeper", TAG) + release.DATASET, ids, generation=0)


def assess(store: Store, live: LivePointer | None = None) -> news.News:
    return news.assess(store, store, "keeper", live, FEW)


def test_what_is_learnt_is_what_the_account_declares(store: Store) -> None:
    collect(store, *(f"@a answer {n}" for n in range(30)), *(f"thought {n}" for n in range(30)))
    declare(store, "keeper", exclude={"words": ["thought 1"]})
    assessed = assess(store)
    assert assessed.curated.reasons == {"reply to another": 30, "excluded": 1}
    assert assessed.learn.exclude.words == ("thought 1",)
    assert assessed.refusal is None


def test_the_bots_own_posts_are_left_out_and_counted(store: Store) -> None:
    collect(store, *(f"thought {n}" for n in range(30)))
    declare(store, "keeper")
    remember(store, "keeper", "slot", "Thought 7!")
    assert assess(store).curated.reasons == {"own post": 1}


def test_nothing_is_learnt_of_an_account_of_which_nothing_is_declared(store: Store) -> None:
    collect(store, *(f"thought {n}" for n in range(30)))
    with pytest.raises(UserError, match=r"accounts/keeper\.json is missing.*run `pulumi up`$"):
        assess(store)


def test_an_account_is_trained_again_if_it_declares_to_learn_something_else(store: Store) -> None:
    collect(store, *(f"thought {n}" for n in range(60)))
    declare(store, "keeper", exclude={"words": ["boss"]})
    released(store, exclude={"words": ["boss"]})
    skipped = assess(store, LIVE).refusal
    assert skipped is not None
    assert skipped.outcome == "skipped"
    store.delete(layout.declared("keeper"), generation=_generation(store))
    declare(store, "keeper", exclude={"words": ["gull"]})
    assert assess(store, LIVE).refusal is None


def _generation(store: Store) -> int:
    found = store.read(layout.declared("keeper"))
    assert found is not None
    return found.generation
