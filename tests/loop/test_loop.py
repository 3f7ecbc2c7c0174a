"""The whole loop, from tweets to posted tweets, on the real engine and with real training."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from demo.samples import archive, base, grammar
from pipeline import layout
from pipeline.novelty import NoveltyIndex
from pipeline.runs import read_result
from pipeline.store import Store
from tests.loop.deployment import ROOT, Deployment

# Enough to release a model that passes the gate; its quality is tests/trainer's business.
STEPS = 60
WEATHER = {
    "handle": "weatherfrog",
    "source": "timeline",
    "consent": "a made-up account",
    "x_terms_acknowledged": True,
    "collect": "0 4 * * *",
    "post": "0 12 * * *",
}


class Loop(Deployment):
    """The gestures of the loop."""

    def seed(self) -> None:
        """What the world brings: a base model, tweets, keys."""
        for file in sorted(base.cached(ROOT).iterdir()):
            self.cloud.models.upload(layout.base_model("tiny") + file.name, file)
        until = self.cloud.now() - timedelta(hours=1)
        self.client.add_x_user("lampkeeper", grammar.timeline("keeper", until))
        self.client.add_x_user("grumpybaker", [])
        archive.write(self.home / "baker.zip", "grumpybaker", grammar.timeline("baker", until))
        self.keys("keeper", "lampkeeper")
        self.keys("baker", "grumpybaker")
        self.bots("credentials", "--bearer", given=self.client.x_bearer())

    def keys(self, account: str, handle: str) -> None:
        self.bots("credentials", account, given=json.dumps(self.client.x_keys(handle)))

    def train(self, run: str) -> dict[str, Any]:
        """Train by hand: name the run, wait for its machine, drop the run again."""
        self.configure(lambda c: c["gpt2-bots:training"].update(run=run))
        self.up()
        self.wait_until_off(f"train-local-{run}")
        self.configure(lambda c: c["gpt2-bots:training"].pop("run"))
        self.up()
        result = read_result(self.cloud.models, f"train-local-{run}")
        assert result is not None
        self.wait_for_builds()
        return {name: outcome.outcome for name, outcome in result.accounts.items()}

    def fire(self, job: str) -> str:
        """Fire a schedule; the log of what it started."""
        fired = self.client.run(job)
        execution = fired["execution"]
        assert execution["outcome"] == "succeeded", fired
        return self.client.log("executions", execution["name"])


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    deployment = Loop.begin(tmp_path_factory.mktemp("loop"))
    assert isinstance(deployment, Loop)
    deployment.configure(
        lambda c: c["gpt2-bots:training"]["settings"].update(steps=STEPS, save_every=20)
    )
    try:
        deployment.up()
        yield deployment
    finally:
        deployment.end()


def live_labels(loop: Loop, account: str) -> str:
    """The tags that the image of `:live` bears."""
    found = loop.client.status()["builds"]
    return "\n".join(
        loop.client.log("builds", b["id"])
        for b in found
        if b["substitutions"]["_OBJECT"].endswith(f"/{account}.json")
    )


def test_before_the_first_release_a_poster_says_so_and_posts_nothing(loop: Loop) -> None:
    log = loop.fire("local-keeper-post")
    assert "nothing is posted" in log
    assert loop.status()["accounts"]["keeper"]["posts"] == []


def test_without_credentials_collecting_ends_in_one_line_that_names_the_mend(loop: Loop) -> None:
    fired = loop.client.run("local-keeper-collect")
    # It is a state and no failure: a retry would not help.
    assert fired["execution"]["outcome"] == "succeeded"
    log = loop.client.log("executions", fired["execution"]["name"])
    assert "bots credentials --bearer" in log
    collecting = loop.status()["accounts"]["keeper"]["collecting"]
    assert collecting is not None
    assert collecting["state"] == "waiting for keys"
    assert "Traceback" not in log


def test_tweets_come_by_timeline_and_by_archive(loop: Loop) -> None:
    loop.seed()
    loop.fire("local-keeper-collect")
    assert "600 tweets" in loop.bots("import", "baker", str(loop.home / "baker.zip"))
    accounts = loop.status()["accounts"]
    assert {name: a["tweets"] for name, a in accounts.items()} == {"keeper": 600, "baker": 600}
    bought = accounts["keeper"]["reads"]
    loop.fire("local-keeper-collect")
    assert loop.status()["accounts"]["keeper"]["reads"] == bought


def test_a_run_releases_a_model_for_each_account_and_its_image_goes_live(loop: Loop) -> None:
    assert loop.train("first") == {"keeper": "live", "baker": "live"}
    accounts = loop.status()["accounts"]
    for name, account in accounts.items():
        (only,) = account["releases"]
        assert only["live"]
        assert only["loss"] < 3
        assert f"{name}:live is {only['tag']}-" in live_labels(loop, name)


def test_nothing_is_trained_again_without_new_tweets(loop: Loop) -> None:
    before = loop.status()["accounts"]
    assert loop.train("second") == {"keeper": "skipped", "baker": "skipped"}
    assert loop.status()["accounts"] == before


def test_a_bot_posts_once_for_a_slot_however_often_it_is_fired(loop: Loop) -> None:
    corpora = {voice: NoveltyIndex.build(grammar.tweets(voice)) for voice in grammar.VOICES}
    for account, handle in {"keeper": "lampkeeper", "baker": "grumpybaker"}.items():
        before = len(loop.client.x_posts(handle))
        loop.fire(f"local-{account}-post")
        loop.fire(f"local-{account}-post")
        posted = loop.client.x_posts(handle)[before:]
        assert len(posted) == 1
        assert not corpora[account].copies(posted[0]["text"])
        (record,) = loop.status()["accounts"][account]["posts"]
        assert (record["id"], record["text"]) == (posted[0]["id"], posted[0]["text"])
        assert record["release"] == loop.status()["accounts"][account]["releases"][0]["tag"]


def test_a_bot_that_posts_as_whom_it_learns_from_does_not_learn_from_itself(loop: Loop) -> None:
    assert loop.status()["accounts"]["keeper"]["posts"]
    bought = loop.status()["accounts"]["keeper"]["reads"]
    loop.fire("local-keeper-collect")
    # Its own posts are known, so they are not even bought.
    assert loop.status()["accounts"]["keeper"]["tweets"] == 600
    assert loop.status()["accounts"]["keeper"]["reads"] == bought
    assert loop.train("after-posting")["keeper"] == "skipped"
    result = read_result(loop.cloud.models, "train-local-after-posting")
    assert result is not None
    assert result.accounts["keeper"].reason.startswith("0 new tweets")


def test_the_clock_brings_the_next_slot(loop: Loop) -> None:
    before = {n: len(a["posts"]) for n, a in loop.status()["accounts"].items()}
    while all(len(a["posts"]) == before[n] for n, a in loop.status()["accounts"].items()):
        fired = loop.client.tick()
        assert all(
            one["attempt"]["error"] == "" or one["attempt"]["error"] is None for one in fired
        )
    accounts = loop.status()["accounts"]
    assert sum(len(a["posts"]) for a in accounts.values()) == sum(before.values()) + 1


def test_rolling_back_and_promoting_move_the_live_pointer_and_the_image(loop: Loop) -> None:
    assert "error" in loop.bots("rollback", "keeper", ok=False)
    (only,) = loop.status()["accounts"]["keeper"]["releases"]
    loop.bots("promote", "keeper", only["tag"])
    loop.wait_for_builds()
    assert loop.status()["accounts"]["keeper"]["releases"][0]["live"]


def test_an_account_that_is_added_later_goes_through_the_same_loop(loop: Loop) -> None:
    loop.configure(lambda c: c["gpt2-bots:accounts"].update(weather=WEATHER))
    loop.up()
    until = loop.cloud.now() - timedelta(hours=1)
    loop.client.add_x_user("weatherfrog", grammar.timeline("keeper", until, 200, seed=11))
    loop.keys("weather", "weatherfrog")
    loop.fire("local-weather-collect")
    assert loop.train("third") == {"keeper": "skipped", "baker": "skipped", "weather": "live"}
    loop.fire("local-weather-post")
    assert len(loop.client.x_posts("weatherfrog")) == 1


def test_no_secret_is_in_state_configuration_logs_or_images(loop: Loop) -> None:
    keys = [*loop.client.x_keys("lampkeeper").values(), loop.client.x_bearer()]
    kept = loop.home / "secrets"
    x = loop.home / "x"
    for file in loop.home.rglob("*"):
        if not file.is_file() or kept in file.parents or x in file.parents:
            continue
        content = file.read_bytes()
        for key in keys:
            assert key.encode() not in content, file


def test_stopping_and_starting_the_local_cloud_loses_nothing(loop: Loop) -> None:
    before = loop.status()
    loop.end()
    after = loop.status() if loop.client else None
    assert after is not None
    assert after["accounts"] == before["accounts"]
    assert after["resources"] == before["resources"]
    assert loop.planned() == set()


def test_a_bucket_read_by_hand_holds_what_the_layout_says(loop: Loop) -> None:
    models: Store = loop.cloud.models
    (tag,) = [r["tag"] for r in loop.status()["accounts"]["keeper"]["releases"]]
    names = set(models.names(layout.release("keeper", tag)))
    assert layout.manifest("keeper", tag) in names
    assert layout.release("keeper", tag) + "model/model.bin" in names
