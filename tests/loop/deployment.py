"""A stack of the real program, deployed by the real engine to a local cloud of its own."""

import importlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.auth.compute_engine import _metadata

from bots.cloud import Cloud
from bots.status import Status, gather
from local import daemon, pulumi
from local.resources import ResourceStore
from stacks import stack_file
from tests.local.breakable import BreakableClient

ROOT = Path(__file__).parents[2]
# What a person's clone has that the program and its images are made of.
_PROGRAM = [
    "__main__.py",
    "Pulumi.yaml",
    "app",
    "bots",
    "control_image",
    "local",
    "pipeline",
    "requirements",
    "scraper_image",
    "stacks",
    "tools",
    "trainer_image",
]
Values = dict[str, Any]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Deployment:
    """`root` is the program's folder; `home` the local cloud's."""

    root: Path
    home: Path
    file: Path
    port: int
    stack: str = "local"

    @classmethod
    def begin(cls, folder: Path, root: Path = ROOT, stack: str = "local") -> "Deployment":
        """A deployment of a stack file, the local one or another; its cloud is not started yet."""
        file = folder / f"Pulumi.{stack}.yaml"
        values = yaml.safe_load((root / f"stacks/Pulumi.{stack}.yaml").read_text())
        port = _free_port()
        values["config"]["gpt2-bots:emulator"] = f"http://127.0.0.1:{port}"
        file.write_text(yaml.safe_dump(values))
        return cls(root, folder / "home", file, port, stack)

    @classmethod
    def of_a_copy(cls, folder: Path, stack: str = "local") -> "Deployment":
        """A deployment of a copy of the program, which a test may edit."""
        copy = folder / "clone"
        copy.mkdir()
        for name in _PROGRAM:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, copy / name)
        (copy / ".venv").symlink_to(ROOT / ".venv")
        return cls.begin(folder, copy, stack)

    def edit(self, file: str, old: str, new: str) -> None:
        """Change the copied program; `old` must be there."""
        path = self.root / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new))

    def configure(self, change: Callable[[Values], None]) -> None:
        """Change the stack file's values."""
        document = yaml.safe_load(self.file.read_text())
        change(document["config"])
        self.file.write_text(yaml.safe_dump(document))

    @property
    def client(self) -> BreakableClient:
        """The local cloud, started if need be."""
        project = yaml.safe_load(self.file.read_text())["config"]["gcp:project"]
        program = "tests.local.breakable"
        return BreakableClient(daemon.up(self.home, self.port, project, self.root, program).url)

    def pulumi(self, *arguments: str, ok: bool | None = True) -> subprocess.CompletedProcess[str]:
        """Run the CLI as `python -m local pulumi` does; fails unless it ends as expected.

        `ok` is None where either end will do.
        """
        with self.start(*arguments) as process:
            stdout, stderr = process.communicate()
        assert ok is None or (process.returncode == 0) == ok, stdout + stderr
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the CLI in a process group of its own."""
        if not (self.home / "state/.pulumi/stacks").exists():
            with self._start(["stack", "init", self.stack]) as init:
                said = init.communicate()
            assert init.returncode == 0, said
        takes_file = arguments[0] in {"up", "preview", "destroy", "refresh"}
        file = ["--config-file", str(self.file)] if takes_file else []
        return self._start([*arguments, "--stack", self.stack, *file])

    def _start(self, arguments: list[str]) -> subprocess.Popen[str]:
        ports = self.client.status()["providers"]
        command, environment = pulumi.command([*arguments, "--non-interactive"], self.home, ports)
        return subprocess.Popen(
            command,
            env=environment,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def up(self, *arguments: str, ok: bool = True) -> str:
        """`pulumi up`; its output."""
        done = self.pulumi("up", "--yes", "--skip-preview", *arguments, ok=ok)
        return done.stdout + done.stderr

    def planned(self) -> set[tuple[str, str]]:
        """What `pulumi preview` says that it would do: (operation, URN) of every change."""
        steps = json.loads(self.pulumi("preview", "--json").stdout)["steps"]
        return {(s["op"], s["urn"]) for s in steps if s["op"] not in {"same", "read"}}

    def state(self) -> dict[str, dict[str, Any]]:
        """The resources in Pulumi's state, by URN."""
        exported = json.loads(self.pulumi("stack", "export").stdout)
        return {r["urn"]: r for r in exported["deployment"].get("resources", [])}

    def known(self) -> set[tuple[str, str]]:
        """URN and id of what Pulumi's state holds."""
        return {
            (urn, r["id"])
            for urn, r in self.state().items()
            if r["custom"] and not r["type"].startswith("pulumi:")
        }

    def there(self) -> set[tuple[str, str]]:
        """URN and id of what the local cloud holds."""
        return {(r.urn, r.id) for r in ResourceStore(self.home / "resources.json").all()}

    def names(self) -> set[str]:
        """Type and name of every resource in Pulumi's state, components and all."""
        return {urn.split("::", 2)[2].rpartition("$")[2] for urn in self.state()}

    @property
    def cloud(self) -> Cloud:
        """What `bots` works on."""
        cloud = Cloud(stack_file.read(self.file))
        # Google's client reads the metadata server's address once in a process.
        importlib.reload(_metadata)
        return cloud

    def bots(self, *arguments: str, given: str | None = None, ok: bool = True) -> str:
        """Run the operator's command; its output. Fails unless it ends as expected."""
        done = subprocess.run(
            [sys.executable, "-m", "bots", *arguments, "--config-file", str(self.file)],
            input=given,
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert (done.returncode == 0) == ok, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def status(self) -> Status:
        """What `bots status --json` shows."""
        return gather(self.cloud)

    def wait(self, done: Callable[[], bool], what: str, seconds: float = 300) -> None:
        """Wait for what the cloud does by itself."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
            time.sleep(0.1)

    def wait_until_off(self, machine: str) -> str:
        """Wait until a machine is powered off; its log."""

        def off() -> bool:
            found = {i["name"]: i["status"] for i in self.client.status()["instances"]}
            return found[machine] == "TERMINATED"

        self.wait(off, f"{machine} to power off")
        return self.client.log("instances", machine)

    def wait_for_builds(self) -> None:
        """Wait until no release build runs."""
        self.wait(
            lambda: all(b["ended"] for b in self.client.status()["builds"]), "the builds to end"
        )

    def end(self) -> None:
        """Stop the local cloud."""
        daemon.down(self.home)


def of_account(names: set[str], account: str) -> set[str]:
    """Those of `Deployment.names` that are one account's."""
    return {n for n in names if f"::{account}" in n or f"-{account}-" in n}
