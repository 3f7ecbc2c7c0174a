"""A stack on its local cloud: starts the cloud, and runs the Pulumi CLI against it."""

import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from local import daemon, pulumi
from local.client import Client
from pipeline.errors import UserError

_STACK_FILE_COMMANDS = {"config", "destroy", "preview", "refresh", "up", "update", "watch"}
_EXAMPLE = "http://127.0.0.1:9080"


@dataclass(frozen=True)
class LocalStack:
    """A stack file, what it says of its local cloud, and the folder of that cloud's state."""

    home: Path
    stack_file: Path
    name: str
    project: str
    port: int

    @classmethod
    def of(cls, home: Path, stack_file: Path) -> "LocalStack":
        """Reads the stack file; raises UserError where it is not one for a local cloud."""
        config = _config(stack_file)
        key = next((key for key in config if key.endswith(":emulator")), "")
        if not key:
            raise UserError(
                f"{stack_file}: emulator is missing: write the address of the local cloud, such as"
                f" {_EXAMPLE}"
            )
        address = re.fullmatch(r"http://127\.0\.0\.1:(\d{2,5})", str(config[key]))
        if address is None:
            raise UserError(
                f"{stack_file}: {key}: {config[key]!r} is not an address of a local cloud, such"
                f" as {_EXAMPLE}"
            )
        if not config.get("gcp:project"):
            raise UserError(f"{stack_file}: gcp:project: missing")
        name = stack_file.name.removeprefix("Pulumi.").removesuffix(".yaml")
        return cls(home, stack_file, name, str(config["gcp:project"]), int(address[1]))

    def start(self) -> Client:
        """Returns the local cloud, started if need be. The current folder is the program's."""
        return daemon.up(self.home, self.port, self.project, Path.cwd())

    def command(self, arguments: Sequence[str], client: Client) -> tuple[list[str], dict[str, str]]:
        """Returns command line and environment of `pulumi ARGUMENTS` on this stack.

        Creates the engine's stack if there is none yet.
        """
        ports: dict[str, int] = client.status()["providers"]
        self._create(ports)
        command, environment = pulumi.command(self._with_file(arguments), self.home, ports)
        return command, {**environment, "PULUMI_STACK": self.name}

    def run(self, arguments: Sequence[str], client: Client) -> int:
        """Runs the Pulumi CLI on the terminal of this process; returns its exit code."""
        command, environment = self.command(arguments, client)
        process = subprocess.Popen(command, env=environment)
        # Ctrl-C also reaches the CLI, which then ends in order. This process waits for it.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            code = process.wait()
        finally:
            signal.signal(signal.SIGINT, handler)
        return code if code >= 0 else 128 - code

    def _with_file(self, arguments: Sequence[str]) -> list[str]:
        takes_one = bool(arguments) and arguments[0] in _STACK_FILE_COMMANDS
        if not takes_one or any(a.startswith("--config-file") for a in arguments):
            return list(arguments)
        return [arguments[0], "--config-file", str(self.stack_file), *arguments[1:]]

    def _create(self, ports: dict[str, int]) -> None:
        stacks = self.home / "state" / ".pulumi" / "stacks"
        if any(stacks.glob(f"*/{self.name}.json")):
            return
        init = ["stack", "init", self.name, "--non-interactive"]
        command, environment = pulumi.command(init, self.home, ports)
        made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if made.returncode:
            lines = [line for line in made.stderr.splitlines() if line.strip()]
            raise UserError(f"pulumi stack init {self.name} failed: {' '.join(lines[:1])}")


def _config(stack_file: Path) -> dict[str, Any]:
    """Returns the configuration of a stack file."""
    try:
        document: object = yaml.safe_load(stack_file.read_text())
    except OSError:
        raise UserError(f"{stack_file}: no such stack file") from None
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{stack_file}: {' '.join(str(error).split())}") from None
    config = (
        cast("dict[str, object]", document).get("config") if isinstance(document, dict) else None
    )
    if not isinstance(config, dict):
        raise UserError(f"{stack_file}: no configuration in it, as under `config:`")
    return cast("dict[str, Any]", config)
