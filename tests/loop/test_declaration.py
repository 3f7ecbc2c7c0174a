"""Nothing is recognised by name: what is declared decides what happens on the local cloud.

Each test has a twin of the program in which one thing of the declaration differs, and sees the
difference happen.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from demo.samples import archive, grammar
from tests.loop.deployment import ROOT, Deployment


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The program with one build step, one VM flag, one variable and one schedule changed."""
    deployment = Deployment.of_a_copy(tmp_path_factory.mktemp("edited"))
    deployment.edit("stacks/scripts/bundle.sh", "set -euo pipefail", "echo changed-step")
    deployment.edit(
        "stacks/scripts/train.sh", "docker run --rm \\\n", "docker run --entrypoint false \\\n"
    )
    deployment.edit("stacks/account.py", '"HANDLE": self._bot.handle', '"HANDLE": "somebody_else"')
    deployment.edit("stacks/job.py", "schedule=schedule.cron", 'schedule="7 * * * *"')
    deployment.configure(
        lambda c: c["gpt2-bots:training"].update(run="edited", schedule="7 2 31 12 *")
    )
    try:
        deployment.up()
        yield deployment
    finally:
        deployment.end()


def test_a_changed_build_step_is_what_runs(edited: Deployment) -> None:
    edited.wait_for_builds()
    builds = edited.client.status()["builds"]
    assert builds
    for build in builds:
        assert "changed-step" in edited.client.log("builds", build["id"])


def test_a_changed_flag_of_the_machines_docker_run_is_what_runs(edited: Deployment) -> None:
    edited.wait_until_off("train-local-edited")
    # `false` ran in the trainer's place: powered off all the same, and the run has no result.
    assert edited.cloud.models.read("runs/train-local-edited/result.json") is None


def test_a_changed_variable_reaches_the_program(edited: Deployment) -> None:
    edited.cloud.add_secret_version("local-x-bearer", edited.client.x_bearer())
    fired = edited.client.run("local-keeper-collect")
    assert fired["execution"]["outcome"] == "succeeded"
    assert "somebody_else" in edited.client.log("executions", fired["execution"]["name"])


def test_a_changed_schedule_is_when_the_clock_fires(edited: Deployment) -> None:
    # Training has a schedule of its own.
    ticks = [t for t in edited.client.status()["ticks"] if t["job"] != "local-retrain"]
    assert len(ticks) == 4
    assert {tick["at"][14:16] for tick in ticks} == {"07"}


def test_a_changed_flag_is_what_the_machines_of_a_schedule_run_too(edited: Deployment) -> None:
    until = edited.cloud.now() - timedelta(hours=1)
    archive.write(edited.home / "baker.zip", "grumpybaker", grammar.timeline("baker", until))
    edited.bots("import", "baker", str(edited.home / "baker.zip"))
    fired = edited.client.run("local-retrain")
    assert fired["execution"]["outcome"] == "failed"
    assert "powered off without a result" in fired["execution"]["reason"]
    names = [i["name"] for i in edited.client.status()["instances"]]
    assert names == ["train-local-edited"]  # the schedule's own is deleted


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('":run")', '":walk")', "walk"),
        (
            "oauth_token=gcp.cloudscheduler.JobHttpTargetOauthTokenArgs(",
            "oidc_token=gcp.cloudscheduler.JobHttpTargetOidcTokenArgs(",
            "oauthToken",
        ),
        ('"roles/run.jobsExecutor"', '"roles/run.viewer"', "run.jobs.run"),
    ],
    ids=["wrong address", "wrong kind of token", "missing grant"],
)
def test_a_schedule_that_google_would_refuse_shows_its_error(
    edited: Deployment, old: str, new: str, error: str
) -> None:
    edited.edit("stacks/job.py", old, new)
    try:
        edited.up()
        fired = edited.client.tick()
        assert fired
        errors = [one["attempt"]["error"] for one in fired]
        assert all(error in said for said in errors), errors
        assert all(one["execution"] is None for one in fired)
    finally:
        original = (ROOT / "stacks/job.py").read_text()
        (edited.root / "stacks/job.py").write_text(original)
