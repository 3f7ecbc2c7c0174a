"""What an image is made of, as a CycloneDX document (https://cyclonedx.org), by cyclonedx-py.

cyclonedx-py is the maintained tool of CycloneDX for Python, and it is in the package index that the
project uses anyway. Tools that also read Debian's packages are not there. What the base holds
beside Python is therefore not in the document: the base's own makers publish that.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.markers import Marker

from tests.real.docker import Docker
from tests.stacks.recorder import ROOT

Part = tuple[str, str]
"""A package's name and version."""

_LOCK = ROOT / "requirements/sbom.txt"
_SITE = "/usr/local/lib/python3.11/site-packages"


def write(docker: Docker, image: str, program: str, cache: Path, folder: Path) -> dict[str, Any]:
    """Write the document of an image's Python packages below `cache`, and return it.

    `folder` is for what this takes on the way.
    """
    tool = _tool(cache / "cyclonedx")
    file = cache / f"sbom/{program}.json"
    file.parent.mkdir(exist_ok=True)
    container = docker.run("create", "--network=none", image)
    docker.run("cp", f"{container}:{_SITE}", str(folder / "site-packages"))
    docker.run("rm", container)
    # The tool asks a Python where its packages are.
    python = folder / "python"
    python.write_text(f"#!/bin/sh\necho '{json.dumps([str(folder / 'site-packages')])}'\n")
    python.chmod(0o755)
    subprocess.run(
        [tool, "environment", "--output-reproducible", "--output-file", file, python],
        check=True,
        capture_output=True,
    )
    return json.loads(file.read_text())


def against(document: Mapping[str, Any], lock: str) -> tuple[set[Part], set[Part]]:
    """What a lock file names and the image lacks, and what the image has beside that.

    What the base installs packages with is in no lock, and is left out.
    """
    found = {
        (part["name"].lower().replace("_", "-"), part["version"]) for part in document["components"]
    }
    named = re.findall(r"^([a-z0-9-]+)==([\w.]+)(?: ; (.*?))?(?: \\)?$", lock, re.MULTILINE)
    wanted = {
        (name, version)
        for name, version, when in named
        if not when or Marker(when).evaluate({"python_full_version": "3.11.15"})
    }
    beside = {part for part in found - wanted if part[0] not in {"pip", "setuptools", "wheel"}}
    return wanted - found, beside


def _tool(folder: Path) -> Path:
    """The tool in an environment of its own, made anew when its lock changes."""
    made_from = folder / "lock"
    if not made_from.exists() or made_from.read_bytes() != _LOCK.read_bytes():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = ("-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", _LOCK)
        subprocess.run([folder / "bin/python", *install], check=True)
        made_from.write_bytes(_LOCK.read_bytes())
    return folder / "bin/cyclonedx-py"
