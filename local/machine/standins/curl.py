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
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

REAL = "/opt/machine/host/usr/bin/curl"
METADATA = re.compile(
    r"^(?:http://)?(?:metadata\.google\.internal|metadata|169\.254\.169\.254)(?=/)"
)
STORAGE = re.compile(r"^https://storage\.googleapis\.com(?=/)")

# What --retry tries again, beside what took too long. Source: curl(1)
PASSING = {408, 429, 500, 502, 503, 504}


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
    request = _request(options)
    opener = urllib.request.build_opener(*([] if options.location else [_Stay]))
    status, code, body = _attempt(opener, request, options.max_time or 60)
    for _ in range(options.retry):
        if status != 28 and code not in PASSING:
            break
        time.sleep(options.retry_delay or 1)
        status, code, body = _attempt(opener, request, options.max_time or 60)
    if options.fail and code >= 400:
        status = 22
    _tell(options, status, code, body)
    return status


def _tell(options: argparse.Namespace, status: int, code: int, body: bytes) -> None:
    if status and not (options.silent and not options.show_error):
        print(f"curl: ({status}) {options.url}", file=sys.stderr)
    elif options.output and not status:
        Path(options.output).write_bytes(body)
    elif not status:
        sys.stdout.buffer.write(body)
    if options.write_out:
        sys.stdout.write(options.write_out.replace("%{http_code}", f"{code:03}"))


def _request(options: argparse.Namespace) -> urllib.request.Request:
    lines = [sys.stdin.readline().strip() if h == "@-" else h for h in options.header]
    headers = dict(re.split(r":\s*", line, maxsplit=1) for line in lines)
    data = options.data.encode() if options.data else None
    return urllib.request.Request(  # noqa: S310 - as the script says
        options.url, data=data, headers=headers, method=options.request
    )


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """There is no further request."""


def _attempt(
    opener: urllib.request.OpenerDirector, request: urllib.request.Request, timeout: float
) -> tuple[int, int, bytes]:
    """Curl's status, HTTP's, and the body."""
    try:
        with opener.open(request, timeout=timeout) as answer:
            return 0, answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return 0, error.code, error.read()
    except OSError as error:
        reason = getattr(error, "reason", error)
        known = ((socket.gaierror, 6), (TimeoutError, 28), (OSError, 7))
        return next(status for kind, status in known if isinstance(reason, kind)), 0, b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
