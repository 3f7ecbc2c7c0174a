#!/opt/venv/bin/python -E
"""Stands in for curl towards Google only; everything else is the host's curl.

The metadata server is at GCE_METADATA_HOST, which may have a path. As Google's does, it refuses a
request without its header. Cloud Storage is where Google's own clients look for it. Where the host
has no curl, this makes the plain requests that scripts make, with these options: -s -S -f -L -o -w
-H -X -d --retry and --max-time.
"""

import argparse
import os
import re
import sys
from pathlib import Path

REAL = "/opt/machine/host/usr/bin/curl"
METADATA = re.compile(
    r"^(?:http://)?(?:metadata\.google\.internal|metadata|169\.254\.169\.254)(?=/)"
)
STORAGE = re.compile(r"^https://storage\.googleapis\.com(?=/)")

# The answers after which --retry tries again. Source: curl(1)
PASSING = (408, 429, 500, 502, 503, 504)


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
    """Makes a request as curl would; returns curl's status."""
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
    status, code, body = _request(options)
    if options.fail and code >= 400:
        status = 22
    if status and (options.show_error or not options.silent):
        print(f"curl: ({status}) {options.url}", file=sys.stderr)
    elif options.output and not status:
        Path(options.output).write_bytes(body)
    elif not status:
        sys.stdout.buffer.write(body)
    if options.write_out:
        sys.stdout.write(options.write_out.replace("%{http_code}", f"{code:03}"))
    return status


def _request(options: argparse.Namespace) -> tuple[int, int, bytes]:
    """Curl's status, HTTP's, and the body."""
    from urllib3 import PoolManager, Retry, exceptions

    lines = [sys.stdin.readline().strip() if h == "@-" else h for h in options.header]
    headers = dict(re.split(r":\s*", line, maxsplit=1) for line in lines)
    if options.data:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    retries = Retry(
        connect=0,
        read=options.retry,
        status=options.retry,
        redirect=50 if options.location else False,
        status_forcelist=PASSING,
        allowed_methods=None,
        backoff_factor=options.retry_delay or 0.5,
        raise_on_status=False,
    )
    try:
        response = PoolManager().request(
            options.request or ("POST" if options.data else "GET"),
            options.url,
            body=options.data,
            headers=headers,
            retries=retries,
            timeout=options.max_time or 60,
        )
    except exceptions.MaxRetryError as error:
        if isinstance(error.reason, exceptions.NameResolutionError):
            return 6, 0, b""
        refused = isinstance(error.reason, exceptions.NewConnectionError)
        timed_out = isinstance(error.reason, exceptions.TimeoutError) and not refused
        return 28 if timed_out else 7, 0, b""
    return 0, response.status, response.data


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
