"""`python -m demo`: the whole loop on this machine, shown stage by stage."""

import argparse
import sys
from pathlib import Path

from demo import loop
from local.stack import LocalStack
from pipeline import __version__
from pipeline.errors import PipelineError
from stacks import stack_file

_STACK_FILE = Path("stacks/Pulumi.local.yaml")


def main() -> int:
    """Runs the loop; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--home", type=Path, default=Path(".local"), help="the local cloud's folder (.local)"
    )
    parser.add_argument(
        "--config-file", type=Path, default=_STACK_FILE, help=f"the stack file ({_STACK_FILE})"
    )
    arguments = parser.parse_args()
    try:
        stack = stack_file.read(arguments.config_file)
        return loop.main(LocalStack.of(arguments.home, arguments.config_file), stack)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
