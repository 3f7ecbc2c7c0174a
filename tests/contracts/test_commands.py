"""The small commands of a training machine, and their stand-ins."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contracts.coverage import ROOT

CONTRACTS = {
    "local/containers/standins/cos-extensions": "Container-Optimized OS, where the tests run on it",
    "local/containers/standins/docker-credential-gcr.py": "the helper itself, where it is",
    "local/containers/standins/mount": "mount, where the tests run as root",
}
STANDINS = ROOT / "local/containers/standins"

Run = Callable[[str, str], subprocess.CompletedProcess[str]]


@pytest.fixture(params=["stand-in", "real"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a script that calls one command, with mounts of its own, in an empty home."""

    def run(command: str, script: str) -> subprocess.CompletedProcess[str]:
        if os.geteuid() != 0:
            pytest.skip(f"{command}: the tests do not run as root")
        found = shutil.which(command)
        if request.param == "real" and found is None:
            pytest.skip(f"real {command}: it is not here")
        path = os.environ["PATH"]
        if request.param == "stand-in":
            tools = tmp_path / "bin"
            tools.mkdir()
            # In a machine the host's own commands lie elsewhere.
            (source,) = STANDINS.glob(f"{command}*")
            text = source.read_text().replace("/opt/machine/host", "")
            text = text.replace("/opt/venv/bin/python", sys.executable)
            (tools / command).write_text(text)
            (tools / command).chmod(0o755)
            path = f"{tools}:{path}"
        home = tmp_path / "home"
        home.mkdir()
        return subprocess.run(
            ["unshare", "--mount", "sh", "-eu", "-c", script],
            cwd=home,
            env={"HOME": str(home), "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_a_folder_that_is_mounted_on_itself_can_be_made_executable(run: Run) -> None:
    done = run(
        "mount",
        """
        /usr/bin/mount -t tmpfs -o noexec disk .; cd .
        cd "$HOME"; mkdir driver; printf '#!/bin/sh\\necho ran\\n' >driver/program
        chmod 755 driver/program; ! driver/program 2>/dev/null
        mount --bind "$HOME/driver" "$HOME/driver"
        mount -o remount,exec "$HOME/driver"
        "$HOME/driver/program"
        """,
    )
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr


def test_docker_is_told_whom_to_ask_for_a_registry_s_credentials(run: Run, tmp_path: Path) -> None:
    done = run(
        "docker-credential-gcr",
        "docker-credential-gcr configure-docker --registries=a-docker.pkg.dev,b-docker.pkg.dev",
    )
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "home/.docker/config.json").read_text())
    expected = {"a-docker.pkg.dev": "gcr", "b-docker.pkg.dev": "gcr"}
    assert written["credHelpers"] == expected


def test_what_docker_was_told_before_it_still_knows(run: Run, tmp_path: Path) -> None:
    before = json.dumps({"auths": {"c.example": {}}, "credHelpers": {"d.example": "own"}})
    done = run(
        "docker-credential-gcr",
        f"mkdir .docker; echo '{before}' >.docker/config.json;"
        "docker-credential-gcr configure-docker --registries=a-docker.pkg.dev",
    )
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "home/.docker/config.json").read_text())
    assert written["credHelpers"] == {"a-docker.pkg.dev": "gcr", "d.example": "own"}
    assert "c.example" in written["auths"]


def test_the_driver_s_folders_are_there_once_it_is_installed(run: Run) -> None:
    # Source: https://cloud.google.com/container-optimized-os/docs/how-to/run-gpus
    done = run(
        "cos-extensions",
        """
        mkdir -p /var/lib/nvidia; /usr/bin/mount -t tmpfs driver /var/lib/nvidia
        cos-extensions install gpu >&2
        ls -d /var/lib/nvidia/lib64 /var/lib/nvidia/bin
        """,
    )
    assert (done.returncode, done.stdout.split()) == (
        0,
        ["/var/lib/nvidia/bin", "/var/lib/nvidia/lib64"],
    ), done.stderr
