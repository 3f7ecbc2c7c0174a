"""A stack on its local cloud: the cloud started, and the Pulumi CLI run against it."""

import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from local import daemon, pulumi
from local.client import Client
from pipeline.errors import UserError
from stacks.config import Stack
from stacks.stack_file import read

_STACK_FILE_COMMANDS = {"config", "destroy", "preview", "refresh", "up", "update", "watch"}


@dataclass(frozen=True)
class LocalStack:
    """A stack file, and the folder of its local cloud's state."""

    home: Path
    stack_file: Path
    stack: Stack
    port: int

    @classmethod
    def of(cls, home: Path, stack_file: Path) -> "LocalStack":
        """Raises UserError where the stack file makes no sense, or is not for a local cloud."""
        stack = read(stack_file)
        port = urlparse(stack.emulator or "").port
        if port is None:
            raise UserError(
                f"{stack_file}: gpt2-bots:emulator is missing: write the address of the local"
                " cloud, such as http://127.0.0.1:9080"
            )
        return cls(home, stack_file, stack, port)

    def start(self) -> Client:
        """The local cloud, started if need be; the current folder is the program's."""
        return daemon.up(self.home, self.port, self.stack.project, Path.cwd())

    def command(self, arguments: Sequence[str], client: Client) -> tuple[list[str], dict[str, str]]:
        """What to run, and in which environment, for `pulumi ARGUMENTS` on this stack.

        The engine's stack is made if there is none yet.
        """
        ports: dict[str, int] = client.status()["providers"]
        self._make(ports)
        command, environment = pulumi.command(self._with_file(arguments), self.home, ports)
        return command, {**environment, "PULUMI_STACK": self.stack.name}

    def run(self, arguments: Sequence[str], client: Client) -> int:
        """Run the Pulumi CLI on the terminal of this process; returns its exit code."""
        command, environment = self.command(arguments, client)
        process = subprocess.Popen(command, env=environment)
        # Ctrl-C reaches the CLI too, which ends in order; this process waits for it.
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

    def _make(self, ports: dict[str, int]) -> None:
        stacks = self.home / "state" / ".pulumi" / "stacks"
        if any(stacks.glob(f"*/{self.stack.name}.json")):
            return
        init = ["stack", "init", self.stack.name, "--non-interactive"]
        command, environment = pulumi.command(init, self.home, ports)
        made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if made.returncode:
            lines = [line for line in made.stderr.splitlines() if line.strip()]
            raise UserError(f"pulumi stack init {self.stack.name} failed: {' '.join(lines[:1])}")
