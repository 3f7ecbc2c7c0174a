"""The real gcsfuse on the local gateway, which enforces the grants that the program declares.

It is built as the trainer's image builds it. Beside the entry point's own flags it is told the
gateway's address, and to read by the JSON API, of which the gateway is a copy, and not by the XML
API: which permissions are asked for does not depend on it.
"""

# pyright: reportPrivateUsage=false

import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage
from google.oauth2.credentials import Credentials

from local.gateway.gateway import Gateway
from local.gateway.iam import OPERATOR, Grant
from local.services.storage import api as storage_api
from local.services.storage.server import StorageServer
from pipeline import layout
from tests.stacks.granted import PROJECT, STACK, Permissions, everything
from tests.stacks.recorder import ROOT, declare

CONTRACTS = {"local/containers/standins/gcsfuse.py": "gcsfuse, in the lane of real tools"}
pytestmark = pytest.mark.real

BUCKET = layout.models_bucket(PROJECT, STACK)
MODELS = f"projects/_/buckets/{BUCKET}"
FILES = {
    "base/124M/hparams.json": "a base model",
    "releases/keeper/20261123T101500Z-1a2b3c4d/checkpoint/model.ckpt.index": "a release",
}
LISTS, READS = "storage.objects.list", "storage.objects.get"
# What lists and reads stands for a trainer: it shows what it finds in its mount.
SHOW = """\
#!/bin/sh
cd "$MODELS_MOUNT" && find . -type f | sort | xargs tail -n +1
touch base/x releases/x
"""


@pytest.fixture(scope="session", params=["real", "stand-in"])
def gcsfuse(request: pytest.FixtureRequest) -> str:
    """The program; where it cannot be had, the tests are left out, but not in CI."""
    if request.param == "stand-in":
        return f"{sys.executable} -W ignore {ROOT / 'local/containers/standins/gcsfuse.py'}"
    done = subprocess.run([ROOT / "tools/gcsfuse.sh"], capture_output=True, text=True, check=False)
    missing = [path for path in ("/dev/fuse", "/usr/bin/fusermount3") if not Path(path).exists()]
    if done.returncode != 0 or missing:
        lines = done.stderr.strip().splitlines()
        reason = f"{', '.join(missing)} missing: apt-get install fuse3" if missing else lines[-1]
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return f"{done.stdout.strip()} --experimental-enable-json-read"


@pytest.fixture(scope="session")
def declared() -> Permissions:
    return Permissions.of(declare(STACK, everything()))


class Machine:
    """Runs programs as the trainer, whose grants a test may change."""

    def __init__(self, gateway: Gateway, declared: Permissions, gcsfuse: str, folder: Path) -> None:
        trainer = declared.members["trainer"]
        bin_folder, self.mount = folder / "bin", folder / "mnt"
        bin_folder.mkdir()
        self.mount.mkdir()
        self._script(bin_folder / "python", SHOW)
        if "json-read" in gcsfuse:
            gcsfuse += f" --custom-endpoint {gateway.url}/storage/v1/"
        self._script(bin_folder / "gcsfuse", f'#!/bin/sh\nexec {gcsfuse} "$@"\n')
        self.environment = {
            **gateway.identity("machine", trainer.partition(":")[2]),
            "HOME": str(folder),
            "MODELS_BUCKET": BUCKET,
            "MODELS_MOUNT": str(self.mount),
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
        }

    def _script(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def run(self, *command: str) -> str:
        """All that the command says; a file that stays silent for a minute is a failure."""
        words = ["timeout", "--signal=KILL", "60", *command]
        done = subprocess.run(
            words,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout

    def unmount(self) -> None:
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if (target := line.split()[1]).startswith(str(self.mount)):
                subprocess.run(["umount", "--lazy", target], check=True)


@contextmanager
def serving(grants: list[Grant], declared: Permissions, folder: Path) -> Generator[Gateway]:
    """The gateway, with the files in the bucket; `grants` are asked for at every call."""
    server = StorageServer(folder / "objects")
    server.start()
    policy = declared.policy()
    policy._grants = lambda: grants
    now = datetime(2026, 11, 23, tzinfo=UTC)
    gateway = Gateway(0, PROJECT)
    api = storage_api.CloudStorage(server, policy, lambda: now, lambda attributes, metadata: None)
    gateway.serve(storage_api.PATH, api.respond, anonymous=True)
    gateway.start()
    try:
        server.create_bucket(BUCKET)
        operator: Any = storage.Client(
            PROJECT,
            Credentials(gateway.token(OPERATOR)),
            client_options={"api_endpoint": gateway.url},
        )
        for name, text in FILES.items():
            operator.bucket(BUCKET).blob(name).upload_from_string(text)
        operator.close()
        yield gateway
    finally:
        gateway.stop()
        server.kill()


@pytest.fixture
def grants(declared: Permissions) -> list[Grant]:
    """Those in force; a test changes the list before it reads."""
    return list(declared.grants)


@pytest.fixture
def machine(
    grants: list[Grant], declared: Permissions, gcsfuse: str, tmp_path: Path
) -> Iterator[Machine]:
    with serving(grants, declared, tmp_path) as gateway:
        made = Machine(gateway, declared, gcsfuse, tmp_path)
        try:
            yield made
        finally:
            made.unmount()


def entrypoint() -> str:
    return str(ROOT / "trainer_image/entrypoint.sh")


def test_the_entry_point_shows_the_trainer_what_it_may_read_and_lets_it_write_nothing(
    machine: Machine,
) -> None:
    said = machine.run(entrypoint())
    for name, text in FILES.items():
        assert f"==> ./{name} <==\n{text}" in said
    assert said.count("Read-only file system") == 2


def test_a_mount_of_the_whole_bucket_is_of_no_use_to_who_may_read_prefixes_only(
    machine: Machine,
) -> None:
    """gcsfuse looks `base` up as an object, and fails for anything but a 404."""
    flags = ("--implicit-dirs", "--enable-hns=false", "-o", "ro")
    said = machine.run("gcsfuse", *flags, BUCKET, str(machine.mount))
    said += machine.run("stat", f"{machine.mount}/base/124M/hparams.json")
    assert "Permission denied" in said


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("permission", [LISTS, READS])
def test_without_any_one_of_its_grants_the_trainer_reads_nothing(
    machine: Machine, declared: Permissions, grants: list[Grant], permission: str, name: str
) -> None:
    trainer, resource = declared.members["trainer"], MODELS if permission == LISTS else ""
    resource = resource or f"{MODELS}/objects/{name}"
    needed = [g for g in grants if declared.opens(g, trainer, permission, resource)]
    assert needed
    for grant in needed:
        grants.remove(grant)
    said = machine.run(entrypoint())
    assert FILES[name] not in said
    assert "Permission denied" in said or "Input/output error" in said
