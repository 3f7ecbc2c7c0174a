"""`python -m local`: Google Cloud and X on this machine, for the same Pulumi program."""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlparse

import yaml

from local import daemon, report
from local.client import Client
from pipeline.errors import UserError

_STACK_FILE = Path("stacks/Pulumi.local.yaml")
_STACK_FILE_COMMANDS = {"config", "destroy", "preview", "refresh", "up", "update", "watch"}
_EXAMPLES = """\
examples:
  python -m local up
  python -m local pulumi up --yes
  python -m local tick
  python -m local run local-keeper-post
  python -m local pulumi destroy --target '**train-2026-11-23'
"""


@dataclass(frozen=True)
class Place:
    """Where the local cloud of a stack file is, and for which project."""

    home: Path
    stack_file: Path
    stack: str
    project: str
    port: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # All that follows `pulumi` is Pulumi's own, its options included.
    at = given.index("pulumi") if "pulumi" in given else len(given)
    asked = _parser().parse_args(given[: at + 1])
    try:
        return _do(asked, given[at + 1 :])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--home", type=Path, default=Path(".local"), help="the folder of its state (.local)"
    )
    parser.add_argument(
        "--config-file",
        type=Path,
        default=_STACK_FILE,
        help=f"the stack file, which names its port ({_STACK_FILE})",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="start it in the background; it ends after an hour of quiet")
    commands.add_parser("tick", help="make it the time of the next scheduled job, and run it")
    run = commands.add_parser("run", help="run one job now")
    run.add_argument("job", metavar="JOB", help="the name of a Run job or of a Scheduler job")
    status = commands.add_parser("status", help="show what there is and what happened")
    status.add_argument("--json", action="store_true", help="as JSON")
    log = commands.add_parser("log", help="show what an execution, a build or a machine printed")
    log.add_argument("kind", choices=["execution", "build", "instance"])
    log.add_argument("name", metavar="NAME", help="as `status` shows it")
    commands.add_parser("down", help="stop it; its state stays")
    commands.add_parser("demo", help="the whole loop: deploy, collect, train, release, post")
    commands.add_parser("pulumi", help="any Pulumi command, against it", add_help=False)
    return parser


def _do(asked: argparse.Namespace, rest: Sequence[str]) -> int:
    home: Path = asked.home
    match asked.command:
        case "down":
            print("stopped" if daemon.down(home) else "it was not running")
            return 0
        case "status":
            return _show(_running(home).status(), as_json=asked.json)
        case "log":
            print(_running(home).log(f"{asked.kind}s", asked.name), end="")
            return 0
        case "demo":
            from local import demo

            return demo.main(place(home, asked.config_file))
        case _:
            return _with_cloud(asked, place(home, asked.config_file), rest)


def _with_cloud(asked: argparse.Namespace, where: Place, rest: Sequence[str]) -> int:
    client = start(where)
    match asked.command:
        case "up":
            print(f"the local cloud runs at {client.url}, X at {client.status()['x']}")
            return 0
        case "tick":
            return report.fired(client.tick())
        case "run":
            return report.fired([client.run(asked.job)])
        case _:
            return run_pulumi(rest, where, client)


def _running(home: Path) -> Client:
    client = daemon.find(home)
    if client is None:
        raise UserError(f"no local cloud runs in {home}: `python -m local up` starts it")
    return client


def _show(status: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(status, indent=1))
    else:
        report.show(status)
    return 0


def place(home: Path, stack_file: Path) -> Place:
    """Where the stack file says that its local cloud is; UserError where it says nothing of use."""
    try:
        document: object = yaml.safe_load(stack_file.read_text())
    except OSError as error:
        raise UserError(f"{stack_file}: no such stack file ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{stack_file}: not YAML: {' '.join(str(error).split())}") from None
    config = cast("Any", document).get("config") if isinstance(document, dict) else None
    config = cast("dict[str, Any]", config if isinstance(config, dict) else {})
    address = urlparse(str(config.get("gpt2-bots:emulator", "")))
    if address.hostname != "127.0.0.1" or not address.port:
        raise UserError(
            f"{stack_file}: gpt2-bots:emulator is {config.get('gpt2-bots:emulator')!r}: "
            "write the address of the local cloud, such as http://127.0.0.1:9080"
        )
    if not config.get("gcp:project"):
        raise UserError(f"{stack_file}: gcp:project is missing: write any project id")
    stack = stack_file.name.removeprefix("Pulumi.").removesuffix(".yaml")
    return Place(home, stack_file, stack, str(config["gcp:project"]), address.port)


def start(where: Place) -> Client:
    """The local cloud, started if need be; the current folder is the program's."""
    return daemon.up(where.home, where.port, where.project, Path.cwd())


def run_pulumi(arguments: Sequence[str], where: Place, client: Client) -> int:
    """Run the Pulumi CLI on the terminal of this process; returns its exit code."""
    from local import pulumi

    ports: dict[str, int] = client.status()["providers"]
    make_stack(where, ports)
    command, environment = pulumi.command(_with_stack_file(arguments, where), where.home, ports)
    process = subprocess.Popen(command, env={**environment, "PULUMI_STACK": where.stack})
    # Ctrl-C reaches the CLI too, which ends in order; this process waits for it.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, handler)
    return code if code >= 0 else 128 - code


def _with_stack_file(arguments: Sequence[str], where: Place) -> list[str]:
    takes_one = bool(arguments) and arguments[0] in _STACK_FILE_COMMANDS
    if not takes_one or any(a.startswith("--config-file") for a in arguments):
        return list(arguments)
    return [arguments[0], "--config-file", str(where.stack_file), *arguments[1:]]


def make_stack(where: Place, ports: dict[str, int]) -> None:
    """Make Pulumi's stack of the stack file, if there is none yet."""
    from local import pulumi

    stacks = where.home / "state" / ".pulumi" / "stacks"
    if any(stacks.glob(f"*/{where.stack}.json")):
        return
    init = ["stack", "init", where.stack, "--non-interactive"]
    command, environment = pulumi.command(init, where.home, ports)
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if made.returncode:
        lines = [line for line in made.stderr.splitlines() if line.strip()]
        raise UserError(f"pulumi stack init {where.stack} failed: {' '.join(lines[:1])}")


if __name__ == "__main__":
    sys.exit(main())
