#!/usr/bin/env bash
# Makes .venv with the packages that are locked in requirements/dev.txt, and this project.
set -euo pipefail
python=${1:-python3}

"$python" - <<'PY'
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(f"Python 3.11 to 3.13 is needed, and this is {sys.version.split()[0]}: TensorFlow has no"
             " wheels for others; name another one with `make PYTHON=python3.12 …`")
PY

# Debian packages venv apart from Python.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
    else
        echo "Python's venv is missing: install it with \`sudo apt-get install python3-venv\`" >&2
        exit 1
    fi
fi

echo "Installing the locked packages into .venv (2.5 GB, once)" >&2
"$python" -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --use-pep517 \
    --requirement requirements/dev.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
    --no-build-isolation --editable .
