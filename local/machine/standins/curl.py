#!/opt/venv/bin/python -SE
"""Stands in for curl towards Google only; everything else is the host's curl.

The metadata server is at GCE_METADATA_HOST, which may have a path, and refuses a request without
its header, as Google's does. Cloud Storage is where Google's own clients look for it. Where the
host has no curl, the plain requests that scripts make are made here: -s -S -f -L -o -w -H -X -d
--retry and --max-time.
"""

import argparse
import os
import re
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

REAL = "/opt/machine/host/usr/bin/curl"
METADATA = re.compile(
    r"^(?:http://)?(?:metadata\.google\.internal|metadata|169\.254\.169\.254)(?=/)"
)
# Statuses after which curl tries again; 0 is no answer.
RETRIED = {0, 408, 429, 500, 502, 503, 504}
STORAGE = re.compile(r"^https://storage\.googleapis\.com(?=/)")


def main(arguments: list[str]) -> int:
    """Makes the request; returns curl's status."""
    metadata = any(METADATA.match(word) for word in arguments)
    if metadata and not re.search(r"metadata-flavor:\s*google", " ".join(arguments), re.IGNORECASE):
        print("curl: (22) 403: Missing Metadata-Flavor:Google header.", file=sys.stderr)
        return 22
    host = os.environ.get("GCE_METADATA_HOST")
    if metadata and not host:
        print("curl: (6) Could not resolve host: metadata.google.internal", file=sys.stderr)
        return 6
    variables = ("API_ENDPOINT_OVERRIDE", "STORAGE_EMULATOR_HOST")
    storage = next((os.environ[name] for name in variables if os.environ.get(name)), None)
    words = [METADATA.sub(f"http://{host}", word) for word in arguments]
    if storage:
        words = [STORAGE.sub(storage, word) for word in words]
    if Path(REAL).exists():
        os.execv(REAL, ["curl", *words])  # noqa: S606
    return fetch(words)


def fetch(arguments: list[str]) -> int:
    """A request as curl would make it; returns curl's status."""
    parser = argparse.ArgumentParser(prog="curl", allow_abbrev=False)
    for names in ("-s --silent", "-S --show-error", "-f --fail", "-L --location"):
        parser.add_argument(*names.split(), action="store_true")
    parser.add_argument("--retry-connrefused", action="store_true")
    for names in ("-o --output", "-w --write-out", "-X --request", "-d --data"):
        parser.add_argument(*names.split())
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("--retry", type=int, default=0)
    for name in ("-m --max-time", "--connect-timeout", "--retry-delay"):
        parser.add_argument(*name.split(), type=float)
    parser.add_argument("url")
    options = parser.parse_args(arguments)
    lines = [sys.stdin.readline().strip() if h == "@-" else h for h in options.header]
    headers = dict(re.split(r":\s*", line, maxsplit=1) for line in lines)
    data = options.data.encode() if options.data else None
    request = urllib.request.Request(  # noqa: S310 - as the script says
        options.url, data=data, headers=headers, method=options.request
    )
    code, body = _attempt(request, options.max_time or 60)
    for _ in range(options.retry):
        if code not in RETRIED:
            break
        time.sleep(options.retry_delay or 1)
        code, body = _attempt(request, options.max_time or 60)
    status = 7 if code == 0 else 22 if code >= 400 and options.fail else 0
    if status and not (options.silent and not options.show_error):
        print(f"curl: ({status}) {options.url}", file=sys.stderr)
    elif options.output:
        Path(options.output).write_bytes(body)
    else:
        sys.stdout.buffer.write(body)
    if options.write_out:
        sys.stdout.write(options.write_out.replace("%{http_code}", f"{code:03}"))
    return status


def _attempt(request: urllib.request.Request, timeout: float) -> tuple[int, bytes]:
    """The HTTP status, 0 where there is no answer, and the body."""
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
