"""A resumed run finds its own release, and reads as few objects however old the account is."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import release
from pipeline.store import Store
from pipeline.tweets import to_jsonl
from tests.pipeline import curating
from tests.pipeline.test_tweets import tweet
from trainer_image.account import Trainer
from trainer_image.config import Config

from .steps import Bucket, Counting
from .test_release import NOON, a_manifest, put

CONFIG = Config.read(
    {
        "DATA_BUCKET": "d",
        "MODELS_BUCKET": "m",
        "SETTINGS": "{}",
        "MAX_RUN_SECONDS": "60",
        "KEEP_RELEASES": "2",
    }
)


def tag(number: int) -> str:
    return release.tag(NOON + timedelta(days=number), "0123456789")


def an_account(age: int, *, own: int | None = None) -> Counting:
    """One bucket for everything, with `age` releases; run "mine" made number `own`."""
    store = Counting(Bucket())
    for number in range(age):
        run = "mine" if number == own else f"run-{number}"
        put(store, a_manifest(tag(number)).model_copy(update={"run": run}))
    curating.declare(store, "keeper")
    store.write("tweets/keeper/segments/1.jsonl", to_jsonl([tweet(id="1")]), generation=0)
    return store


def train(store: Store, scratch: Path) -> Any:
    lease: Any = None  # nothing is trained
    trainer = Trainer(CONFIG, "mine", store, store, scratch, lambda: NOON)
    return trainer.train("keeper", lease)


def test_an_old_account_costs_as_many_reads_as_a_young_one(tmp_path: Path) -> None:
    young, old = an_account(10), an_account(300)
    for store in (young, old):
        outcome = train(store, tmp_path)
        assert outcome.reason == "1 tweets, min_tweets is 100: collect more"
    assert len(old.read_names) == len(young.read_names) < 12


@pytest.mark.parametrize("own", [299, 297])
def test_a_run_finds_its_own_release_though_others_were_released_meanwhile(
    own: int, tmp_path: Path
) -> None:
    outcome = train(an_account(300, own=own), tmp_path)
    assert (outcome.outcome, outcome.release) == ("live", tag(own))
