"""The real tools that this lane needs, each a command of this machine."""

import functools
import os
import shutil
import subprocess

import pytest

# The Debian package of each command.
_PACKAGES = {
    "dockerd": "docker.io",
    "/usr/bin/docker": "docker.io",
    "docker-registry": "docker-registry",
    "fusermount3": "fuse3",
    "mmdebstrap": "mmdebstrap",
    "openssl": "openssl",
    "unshare": "util-linux",
}


def need(*commands: str) -> None:
    """Skip the test where a command is missing and cannot be installed; with CI set, fail it."""
    if os.geteuid() != 0:
        _give_up("root is needed: Docker's daemon mounts file systems")
    missing = tuple(command for command in commands if shutil.which(command) is None)
    if missing:
        why = _install(tuple(sorted({_PACKAGES[command] for command in missing})))
        if why:
            _give_up(f"{', '.join(missing)}: {why}")


def _give_up(why: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{why}; and CI is set")
    pytest.skip(why)


@functools.cache
def _install(packages: tuple[str, ...]) -> str:
    """Install Debian packages, in CI alone; why that was not done, or nothing."""
    if not os.environ.get("CI"):
        return f"missing here: apt-get install --no-install-recommends {' '.join(packages)}"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    retries = ("-o", "Acquire::Retries=5")
    for command in (
        ("apt-get", "update", "-qq", *retries),
        ("apt-get", "install", "-y", "-qq", *retries, "--no-install-recommends", *packages),
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["apt-get failed"])[-1]
    return ""
