"""The built images, run as the stack declares them, against the local cloud.

The real engine has deployed the real program to a local cloud. What each job and service declares
(memory, processor, arguments, environment, account) is taken from there, and Docker enforces it;
the image is the one that Docker built from the Dockerfile. A program is who it was declared to be:
its metadata server gives it that account's tokens, and the gateway enforces the grants.
"""

import time
from pathlib import Path

import pytest
import requests

from pipeline import layout
from tests.app import releases
from tests.real.conftest import Build
from tests.real.declared import Declared
from tests.real.docker import Docker

pytestmark = pytest.mark.real

TAG = "20261121T101500Z-89abcdef"


@pytest.fixture(scope="module")
def bundled(daemon: Docker, build: Build, model: Path) -> str:
    """The app with a model on top."""
    (model.parent / "Dockerfile").write_text(
        f"FROM {build('app')}\nCOPY --chmod=755 {model.name}/ model/\nENV RELEASE={TAG}\n"
    )
    daemon.build(model.parent, model.parent / "Dockerfile", "keeper:live")
    return "keeper:live"


def test_the_scraper_collects(declared: Declared, build: Build) -> None:
    status, line = declared.run("local-keeper-collect", build("scraper"))
    assert (status, line["severity"]) == (0, "INFO")
    assert declared.data.names(layout.segments("keeper"))


def test_a_poster_without_a_model_says_so(declared: Declared, build: Build) -> None:
    status, line = declared.run("local-baker-post", build("app"))
    assert status == 0
    assert "no model" in line["message"]


def test_a_poster_posts_what_its_model_wrote(declared: Declared, bundled: str) -> None:
    status, line = declared.run("local-baker-post", bundled)
    assert (status, line["state"], line["release"]) == (0, "posted", TAG)
    (post,) = declared.deployment.client.x_posts("grumpybaker")
    assert post["text"] in line["message"]
    status, line = declared.run("local-baker-post", bundled)
    assert (status, line["state"]) == (0, "posted")
    assert len(declared.deployment.client.x_posts("grumpybaker")) == 1


def test_the_self_test_needs_no_network_and_no_more_memory_than_the_job(
    declared: Declared, bundled: str
) -> None:
    command = declared.command("local-baker-post", bundled, "--rm")
    limits = [word for word in command if word.startswith(("--memory", "--cpus"))]
    words = ("run", "--rm", "--network=none", *limits, bundled, "self-test")
    status, said = declared.docker.status(*words)
    assert status == 0, said
    assert "the model works" in said


def test_the_watcher_looks_at_all_accounts(declared: Declared, build: Build) -> None:
    status, line = declared.run("local-watcher", build("control"))
    assert status == 0, line


def test_scheduled_training_makes_no_machine_where_nobody_has_news(
    declared: Declared, build: Build
) -> None:
    status, line = declared.run("local-retrain", build("control"))
    assert (status, line["severity"]) == (0, "NOTICE"), line
    assert "no machine is made" in line["message"]
    assert declared.deployment.client.status()["instances"] == []


def test_the_api_answers_with_the_live_release(
    declared: Declared, build: Build, model: Path
) -> None:
    releases.publish(declared.models, TAG, model)
    releases.point(declared.models, TAG)
    port = ("--env", "PORT=18080", "--detach")
    name = declared.docker.run(*declared.command("local-keeper-api", build("app"), *port))
    try:
        answer = _get("http://127.0.0.1:18080/?prefix=ab", 60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["text"].startswith("ab")
        started = time.monotonic()
        declared.docker.run("stop", "--time", "30", name)
        assert time.monotonic() - started < 20
    finally:
        declared.docker.run("rm", "--force", name)


def _get(url: str, seconds: float) -> requests.Response:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return requests.get(url, timeout=60)
        except requests.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
