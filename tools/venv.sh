#!/usr/bin/env bash
# Makes .venv with everything that requirements/dev.txt locks, and this project in it.
set -euo pipefail
python=${1:-python3}

"$python" - <<'PY'
import sys
if sys.version_info < (3, 11):
    sys.exit(f"Python 3.11 or newer is needed, and this is {sys.version.split()[0]}: "
             "name another with `make PYTHON=python3.12 …`")
PY

# Debian parts venv from Python.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
    else
        echo "Python's venv is missing: install it with \`sudo apt-get install python3-venv\`" >&2
        exit 1
    fi
fi

echo "Installing the locked packages into .venv (some 2.5 GB; once)" >&2
"$python" -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --use-pep517 \
    --requirement requirements/dev.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
    --no-build-isolation --editable .
