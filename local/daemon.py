"""The local cloud in the background: one process per home, started, found and stopped."""

import argparse
import contextlib
import fcntl
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.client import Client
from local.records import replace_file
from pipeline.errors import UserError

if TYPE_CHECKING:
    from local.cloud import Cloud

# The file with its process and its address while it runs.
_ADDRESS = "daemon.json"
# Seconds of quiet after which it stops by itself.
_QUIET = 3600.0
_START = 60.0
_STOP = 60.0

# The processes that this one started. `down` collects their exit status.
_started: list[subprocess.Popen[bytes]] = []


def up(home: Path, port: int, project: str, root: Path, program: str = "local.daemon") -> Client:
    """Returns the local cloud of `home`, started if it does not run.

    `program` is the module that calls `main`.
    """
    running = find(home)
    if running is not None:
        _must_fit(running, home, port, project)
        return running
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / _ADDRESS).unlink(missing_ok=True)  # A killed cloud leaves it behind.
    log = home / "daemon.log"
    with log.open("ab") as output:
        start = output.tell()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", program, "--home", str(home.resolve())),
                *("--port", str(port), "--project", project, "--root", str(root.resolve())),
            ],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _started.append(process)
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        if client := _ready(home, process, log, start):
            return client
        time.sleep(0.02)
    process.kill()
    raise UserError(f"the local cloud did not start in {_START:g} s: see {log}")


def find(home: Path) -> Client | None:
    """Returns the local cloud of `home`, if it runs and answers."""
    process = _running(home)
    if process is None:
        return None
    client = Client(process["url"])
    client.status()
    return client


def down(home: Path) -> bool:
    """Stops the local cloud of `home`; tells whether there was one."""
    process = _running(home)
    if process is None:
        return False
    try:
        descriptor = os.pidfd_open(process["pid"])
    except ProcessLookupError:
        return False
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if not select.select([descriptor], [], [], _STOP)[0]:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    finally:
        os.close(descriptor)
    for child in _started:
        child.poll()
    return True


def _must_fit(client: Client, home: Path, port: int, project: str) -> None:
    status = client.status()
    runs = (status["project"], int(client.url.rpartition(":")[2]))
    if runs != (project, port):
        raise UserError(
            f"the local cloud in {home} runs for project {runs[0]} on port {runs[1]}, and the "
            f"stack file says {project} and {port}: `python -m local down` stops it"
        )


def _ready(home: Path, process: subprocess.Popen[bytes], log: Path, start: int) -> Client | None:
    if process.poll() is not None:
        lines = log.read_bytes()[start:].decode().strip().splitlines()
        raise UserError(lines[-1] if lines else f"the local cloud ended with {process.returncode}")
    return find(home)


def _running(home: Path) -> dict[str, Any] | None:
    """Returns process and address of a local cloud, which holds a lock while it runs."""
    try:
        lock = os.open(home / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return json.loads((home / _ADDRESS).read_text())
    finally:
        os.close(lock)
    return None


def serve(cloud: "Cloud") -> None:
    """Runs a local cloud until a signal, or an hour of quiet."""
    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    address = cloud.home / _ADDRESS
    try:
        cloud.start()
        replace_file(address, json.dumps({"pid": os.getpid(), "url": cloud.gateway.url}))
        while not stop.wait(1) and cloud.quiet() < _QUIET:
            cloud.heal()
    finally:
        address.unlink(missing_ok=True)
        cloud.stop()


def main(kind: "type[Cloud]") -> None:
    """Runs the background process itself."""
    parser = argparse.ArgumentParser(prog="python -m local.daemon")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--root", type=Path, required=True)
    asked = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    try:
        serve(kind(asked.home, asked.port, project=asked.project, root=asked.root))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    # The import takes seconds, and the commands that only find this process do not need it.
    from local.cloud import Cloud

    main(Cloud)
