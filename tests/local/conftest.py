"""Fixtures of the local cloud's tests: whole clouds, each in a folder of its own."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.cloud import Cloud
from tests.local.breakable import BreakableCloud
from tests.local.declaring import PROJECT, Declarer

Clouds = Callable[[str], Cloud]


def processes_of(folder: Path) -> list[str]:
    """The other processes that were started with a path below `folder`, or have a file open there.

    Containers are among them: their output goes to a log file.
    """
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            files = [str(file.readlink()) for file in (process / "fd").iterdir()]
            if int(process.name) != os.getpid() and (
                str(folder) in command or any(file.startswith(str(folder)) for file in files)
            ):
                found.append(command)
    return found


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    """Starts the cloud of a home; every process of it is real. Stops all at the end."""
    started: list[Cloud] = []

    def start(name: str) -> Cloud:
        for running in [cloud for cloud in started if cloud.home == tmp_path / name]:
            running.stop()
            started.remove(running)
        program = tmp_path / "program"
        program.mkdir(exist_ok=True)
        cloud = BreakableCloud(tmp_path / name, 0, project=PROJECT, root=program)
        started.append(cloud)
        cloud.start()
        return cloud

    yield start
    for cloud in started:
        cloud.stop()


@pytest.fixture
def cloud(clouds: Clouds) -> Cloud:
    """A running cloud, empty."""
    return clouds("home")


@pytest.fixture
def declarer(cloud: Cloud) -> Iterator[Declarer]:
    """Declares resources of `cloud`."""
    declarer = Declarer(cloud)
    yield declarer
    declarer.close()
