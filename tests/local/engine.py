"""Runs Pulumi's real engine on small programs against the local providers."""

import atexit
import functools
import re
import shutil
import subprocess
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local import pulumi
from local.engine.handler import Handler
from local.engine.server import Invoke, Providers
from local.resources import ResourceStore
from tests.local.breakable import EngineFaults
from tools.pulumi_cli import cli

CONFIG = """
config:
  gcp:project: p1
  gcp:region: europe-west4
  gcp:defaultLabels:
    stack: dev
"""


@dataclass(frozen=True)
class Outcome:
    """How a run of the CLI ended, and what it printed."""

    status: int
    text: str

    @property
    def counts(self) -> dict[str, int]:
        """The summary: {"created": 3}; "to create" in a preview."""
        found = re.findall(r"^ +[-+~]* ?(\d+) ((?:to )?[a-z]+)", self.text, re.MULTILINE)
        return {word: int(number) for number, word in found if word != "unchanged"}


class Engine:
    """A Pulumi project in a folder, with its own backend, providers and resources."""

    def __init__(
        self,
        folder: Path,
        handlers: Mapping[str, Handler],
        invokes: Mapping[str, Invoke] | None = None,
    ) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.store = ResourceStore(self.home / "resources.json")
        self.faults = EngineFaults()
        self.providers = Providers(handlers, invokes or {}, self.store, interceptors=[self.faults])
        self.providers.start()
        shutil.copytree(_new_stack(), folder, dirs_exist_ok=True)
        self.configure(CONFIG)

    def configure(self, text: str) -> None:
        """Write the stack file, all but its salt."""
        file = self.folder / "Pulumi.dev.yaml"
        salt = (
            re.findall("^encryptionsalt:.*", file.read_text(), re.MULTILINE)
            if file.exists()
            else []
        )
        file.write_text("\n".join([*salt, text]))

    def program(self, source: str) -> None:
        """Make `source` the program; it may use pulumi, gcp, docker and docker_build."""
        imports = (
            "import pulumi, pulumi_gcp as gcp\nfrom pulumi import ResourceOptions as Options\n"
        )
        (self.folder / "__main__.py").write_text(imports + textwrap.dedent(source))

    def run(self, *arguments: str) -> Outcome:
        """Run the CLI."""
        return _run([*arguments, "--stack=dev"], self.folder, self.providers.ports)

    def up(self, *arguments: str) -> Outcome:
        """`pulumi up` without a preview."""
        return self.run("up", "--yes", "--skip-preview", *arguments)

    def preview(self, *arguments: str) -> Outcome:
        """`pulumi preview`."""
        return self.run("preview", *arguments)

    def state(self) -> str:
        """The engine's own state file."""
        return (self.home / "state/.pulumi/stacks/test/dev.json").read_text()


_cli = functools.cache(cli)


@functools.cache
def _new_stack() -> Path:
    """A folder with an empty stack, to be copied: making one takes as long as an `up`."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    (folder / "Pulumi.yaml").write_text("name: test\nruntime: python\n")
    made = _run(["stack", "init", "dev"], folder, {})
    assert made.status == 0, made.text
    return folder


def _run(arguments: Sequence[str], folder: Path, ports: Mapping[str, int]) -> Outcome:
    done = subprocess.run(
        [str(_cli()), *arguments, "--non-interactive", "--color=never"],
        cwd=folder,
        env=pulumi.environment(_cli(), folder / "home", ports),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return Outcome(done.returncode, done.stdout)
