"""`make demo` runs the loop, may be interrupted, and may be run again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loop.deployment import ROOT, Deployment

pytestmark = pytest.mark.deep


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    made = Deployment.begin(tmp_path_factory.mktemp("demo"))
    yield made
    made.end()


def start(deployment: Deployment) -> subprocess.Popen[str]:
    places = ["--home", str(deployment.home), "--config-file", str(deployment.file)]
    return subprocess.Popen(
        [sys.executable, "-m", "demo", *places],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(deployment: Deployment) -> str:
    with start(deployment) as demo:
        said, _ = demo.communicate(timeout=600)
    assert demo.returncode == 0, said
    return said


def trains(deployment: Deployment) -> bool:
    (machine,) = deployment.client.status()["instances"]
    return '"message": "training"' in deployment.client.log("instances", machine["name"])


def processes_of(home: Path) -> list[str]:
    """Command lines of all processes that have to do with this home."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            about = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(home).encode() in about and process.name != str(os.getpid()):
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def test_an_interrupted_demo_leaves_nothing_running_and_the_next_carries_on(
    deployment: Deployment,
) -> None:
    with start(deployment) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("Training machine"):
                break
        deployment.wait(lambda: trains(deployment), "the machine to train")
        os.killpg(demo.pid, signal.SIGINT)
        rest = demo.stdout.read()
    assert demo.returncode == 130, rest
    assert "nothing is left running" in rest
    assert processes_of(deployment.home) == []

    said = finish(deployment)
    assert "keeper: live" in said
    assert "baker: live" in said
    accounts = deployment.status()["accounts"]
    for name, account in accounts.items():
        assert account["tweets"] == 600
        assert [r["live"] for r in account["releases"]] == [True]
        (post,) = account["posts"]
        assert str(post["id"])[:8] in said, name


def test_a_second_demo_posts_nothing_twice_and_trains_nothing_again(
    deployment: Deployment,
) -> None:
    before = deployment.status()["accounts"]
    said = finish(deployment)
    assert said.count("not posted twice") == len(before)
    assert said.count("skipped (0 new tweets since the live release") == len(before)
    after = deployment.status()["accounts"]
    for name, account in after.items():
        assert account["posts"] == before[name]["posts"]
        assert account["releases"] == before[name]["releases"]
