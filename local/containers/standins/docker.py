#!/opt/venv/bin/python -E
"""Stands in for Docker: starts `local.containers.docker_command`, which lists its limits."""

import sys

sys.path.insert(0, "/opt/machine/lib")

from local.containers.docker_command import main

sys.exit(main(sys.argv[1:]))
