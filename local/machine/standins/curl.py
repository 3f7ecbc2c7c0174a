#!/opt/venv/bin/python -SE
"""Stands in for curl towards the metadata server only; everything else is the host's curl.

The metadata server is at GCE_METADATA_HOST, which may have a path, and refuses a request without
its header, as Google's does. Where the host has no curl, the plain requests that scripts make are
made here: -s -S -f -L -o -H -X -d --retry and --max-time.
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
    words = [METADATA.sub(f"http://{host}", word) for word in arguments]
    if Path(REAL).exists():
        os.execv(REAL, ["curl", *words])  # noqa: S606
    return fetch(words)


def fetch(arguments: list[str]) -> int:
    """A request as curl would make it; returns curl's status."""
    parser = argparse.ArgumentParser(prog="curl", allow_abbrev=False)
    for names in ("-s --silent", "-S --show-error", "-f --fail", "-L --location"):
        parser.add_argument(*names.split(), action="store_true")
    parser.add_argument("--retry-connrefused", action="store_true")
    for names in ("-o --output", "-X --request", "-d --data"):
        parser.add_argument(*names.split())
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("--retry", type=int, default=0)
    for name in ("-m --max-time", "--connect-timeout", "--retry-delay"):
        parser.add_argument(*name.split(), type=float)
    parser.add_argument("url")
    options = parser.parse_args(arguments)
    headers = dict(re.split(r":\s*", header, maxsplit=1) for header in options.header)
    data = options.data.encode() if options.data else None
    request = urllib.request.Request(  # noqa: S310 - as the script says
        options.url, data=data, headers=headers, method=options.request
    )
    status, body = _attempt(request, options.max_time or 60)
    for _ in range(options.retry if status else 0):
        time.sleep(options.retry_delay or 1)
        status, body = _attempt(request, options.max_time or 60)
        if status == 0:
            break
    if status == 22 and not options.fail:
        status = 0
    if status and not (options.silent and not options.show_error):
        print(f"curl: ({status}) {options.url}", file=sys.stderr)
    elif options.output:
        Path(options.output).write_bytes(body)
    else:
        sys.stdout.buffer.write(body)
    return status


def _attempt(request: urllib.request.Request, timeout: float) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            return 0, answer.read()
    except urllib.error.HTTPError as error:
        return 22, error.read()
    except OSError:
        return 7, b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
