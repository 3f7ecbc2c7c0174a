"""The watcher on the real engine: a build that was lost is made up for, and silence is reported."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from local.services.monitoring.resources import BUDGET, CHANNEL, DASHBOARD, POLICY
from pipeline import events, release
from pipeline.novelty import NoveltyIndex
from tests.app.releases import publish
from tests.app.tiny_model import build
from tests.loop.deployment import Deployment

TAG = "20261123T101500Z-1a2b3c4d"


class Watched(Deployment):
    """A stack, and what its watcher says."""

    def look(self) -> list[dict[str, Any]]:
        """Let the watcher look now; the lines that it logs."""
        execution = self.client.run("local-watcher")["execution"]
        log = self.client.log("executions", execution["name"])
        assert execution["outcome"] == "succeeded", log
        return [json.loads(line) for line in log.splitlines() if line.startswith("{")]

    def builds(self) -> list[str]:
        """How each build of a live pointer ended, after they all have."""
        self.wait_for_builds()
        return [
            b["status"]
            for b in self.client.status()["builds"]
            if b["substitutions"]["_OBJECT"].startswith("rollout/live/")
        ]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    deployment = Watched.begin(tmp_path_factory.mktemp("watched"))
    assert isinstance(deployment, Watched)
    deployment.configure(lambda c: c.pop("gpt2-bots:training"))
    # All of it, so that the engine and the provider see every alert and the budget once.
    deployment.configure(
        lambda c: c["gpt2-bots:monitoring"].update(
            emails=["ops@example.com"],
            watch="45 5,17 * * *",
            budget={"billing_account": "01ABCD-23EF45-6789AB", "amount_per_month": 50},
        )
    )
    try:
        deployment.up()
        yield deployment
    finally:
        deployment.end()


def test_alerts_dashboard_and_budget_are_declared_once_and_for_good(watched: Watched) -> None:
    kinds = {name.partition("::")[0] for name in watched.names()}
    assert {POLICY, CHANNEL, DASHBOARD, BUDGET} <= kinds
    assert watched.planned() == set()


def test_before_the_first_release_the_watcher_asks_for_nothing(watched: Watched) -> None:
    (line,) = watched.look()
    assert line["accounts"] == 2
    assert watched.builds() == []


def test_a_lost_build_is_made_up_for(watched: Watched, tmp_path: Path) -> None:
    models = watched.cloud.models
    # The pointer is moved before there is a release, so that its build fails for good.
    release.move_live(models, "keeper", TAG, "test", 0, watched.cloud.now())
    assert watched.builds() == ["FAILURE"]
    _release(watched, tmp_path)
    assert watched.builds() == ["FAILURE"]

    assert f"keeper: image {TAG}" in watched.look()[0]["message"]
    assert watched.builds() == ["FAILURE", "SUCCESS"]
    log = watched.client.log("builds", watched.client.status()["builds"][-1]["id"])
    assert f"keeper:live is {TAG}" in log

    (line,) = watched.look()
    assert line["accounts"] == 2
    assert watched.builds() == ["FAILURE", "SUCCESS"]


def test_an_account_gone_silent_is_reported(watched: Watched) -> None:
    watched.client.advance(watched.cloud.now() + timedelta(days=3))
    silent = {
        (line["account"], line["task"])
        for line in watched.look()
        if line.get("event") == events.SILENT
    }
    assert silent == {("keeper", "collect"), ("keeper", "post"), ("baker", "post")}


def _release(watched: Watched, folder: Path) -> None:
    """A release as the trainer leaves it, of a model that writes nonsense."""
    build(folder)
    NoveltyIndex.build(["the lamp was lit at dusk and burned until the morning"]).save(
        folder / "shingles.bin"
    )
    publish(watched.cloud.models, TAG, folder)
