#!/opt/venv/bin/python -SE
"""Stands in for Docker: the machine's own `docker` command; see local/machine for its limits."""

import sys

sys.path.insert(0, "/opt/machine/lib")

from local.machine.cli import main

sys.exit(main(sys.argv[1:]))
