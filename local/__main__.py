"""`python -m local`: Google Cloud and X on this machine, for the same Pulumi program."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local import daemon, report
from local.client import Client
from local.stack import LocalStack
from pipeline import __version__
from pipeline.errors import PipelineError, UserError

_STACK_FILE = Path("stacks/Pulumi.local.yaml")
_EXAMPLES = """\
examples:
  python -m local up
  python -m local pulumi up --yes
  python -m local tick
  python -m local run local-keeper-post
  python -m local pulumi destroy --target '**train-2026-11-23'
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what was asked; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Whatever follows `pulumi`, options included, goes to Pulumi.
    at = given.index("pulumi") if "pulumi" in given else len(given)
    asked = _parser().parse_args(given[: at + 1])
    try:
        return _do(asked, given[at + 1 :])
    except PipelineError as error:
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
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
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
    log = commands.add_parser(
        "log", help="show what a job, a build, a machine or a service printed"
    )
    log.add_argument("kind", choices=["execution", "build", "instance", "service"])
    log.add_argument("name", metavar="NAME", help="as `status` shows it")
    commands.add_parser("token", help="print a token with which you may call its services")
    commands.add_parser("down", help="stop it; its state stays")
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
        case "token":
            print(_running(home).token())
            return 0
        case "log":
            print(_running(home).log(f"{asked.kind}s", asked.name), end="")
            return 0
        case _:
            return _with_cloud(asked, LocalStack.of(home, asked.config_file), rest)


def _with_cloud(asked: argparse.Namespace, stack: LocalStack, rest: Sequence[str]) -> int:
    client = stack.start()
    match asked.command:
        case "up":
            print(f"the local cloud runs at {client.url}, X at {client.status()['x']}")
            return 0
        case "tick":
            return report.fired(client.tick())
        case "run":
            return report.fired([client.run(asked.job)])
        case _:
            return stack.run(rest, client)


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


if __name__ == "__main__":
    sys.exit(main())
