#!/opt/venv/bin/python -SE
# ruff: noqa: N999
"""Stands in for the credential helper of Container-Optimized OS: `configure-docker` alone.

It adds the hosts of `--registries=HOST,…`, or gcr.io, to docker's configuration. It cannot show a
credential: it has none.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


def main(verb: str = "", *options: str) -> int:
    """Runs one command; returns its status."""
    flag = "--registries="
    unknown = [word for word in options if not word.startswith(flag)]
    if verb != "configure-docker" or unknown:
        print(
            f"docker-credential-gcr: {verb} {' '.join(unknown)}: not stood in for", file=sys.stderr
        )
        return 2
    hosts = [host for word in options for host in word.removeprefix(flag).split(",")] or ["gcr.io"]
    folder = Path(os.environ.get("DOCKER_CONFIG") or f"{os.environ['HOME']}/.docker")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.json"
    config: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    config["credHelpers"] = {**config.get("credHelpers", {}), **dict.fromkeys(hosts, "gcr")}
    file.write_text(json.dumps(config))
    print(f"{file} configured to use this credential helper for {', '.join(hosts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
