"""Pulumi's command-line program, run so that it knows only the local cloud."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.pulumi_cli import cli

# The stack's state and secrets are to be thrown away with the local cloud.
_PASSPHRASE = "local"  # noqa: S105


def environment(program: Path, home: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """Returns the environment in which the CLI `program` knows only the local cloud.

    `home` holds state, plugins and settings. `ports` are those of the local providers. The caller's
    own Pulumi settings are left out.
    """
    state = home.resolve() / "state"
    state.mkdir(parents=True, exist_ok=True)
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")
    }
    return {
        **inherited,
        "PATH": os.pathsep.join([f"{sys.prefix}/bin", str(program.parent), os.environ["PATH"]]),
        "VIRTUAL_ENV": sys.prefix,
        # A CLI that is killed while it writes a metadata file leaves it empty, and the next CLI
        # refuses the state then. So there are no such files.
        "PULUMI_BACKEND_URL": f"{state.as_uri()}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": _PASSPHRASE,
        "PULUMI_DEBUG_PROVIDERS": ",".join(f"{name}:{port}" for name, port in ports.items()),
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_ERROR_OUTPUT_STRING": "1",
        "PULUMI_HOME": str(home.resolve() / "pulumi"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }


def command(
    arguments: Sequence[str], home: Path, ports: Mapping[str, int]
) -> tuple[list[str], dict[str, str]]:
    """Returns command line and environment of `pulumi ARGUMENTS` against the local cloud."""
    program = cli()
    return [str(program), *arguments], environment(program, home, ports)
