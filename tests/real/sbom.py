"""What an image is made of, as a CycloneDX document (https://cyclonedx.org), by cyclonedx-py.

cyclonedx-py is the maintained tool of CycloneDX for Python, and it is in the package index that the
project uses anyway. Tools that also read Debian's packages are not there. What the base holds
beside Python is therefore not in the document: the base's own makers publish that.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.real.docker import Docker
from tests.stacks.recorder import ROOT

_LOCK = ROOT / "requirements/sbom.txt"
_SITE = "/usr/local/lib/python3.11/site-packages"


def write(docker: Docker, image: str, cache: Path, file: Path) -> dict[str, Any]:
    """Write the document of an image's Python packages, and return it."""
    tool = _tool(cache / "cyclonedx")
    folder = file.with_suffix("")
    folder.mkdir(parents=True)
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


def _tool(folder: Path) -> Path:
    """The tool in an environment of its own, made anew when its lock changes."""
    made_from = folder / "lock"
    if not made_from.exists() or made_from.read_bytes() != _LOCK.read_bytes():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = ("-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", _LOCK)
        subprocess.run([folder / "bin/python", *install], check=True)
        made_from.write_bytes(_LOCK.read_bytes())
    return folder / "bin/cyclonedx-py"
