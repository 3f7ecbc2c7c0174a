"""The processes that the local cloud has started. Each ends in time, and none is left behind."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable

# Seconds between SIGTERM and SIGKILL, as on Cloud Run.
# Source: https://cloud.google.com/run/docs/container-contract#lifecycle-container-shutdown
GRACE = 10.0


class Stopping(Exception):
    """The local cloud is stopping and starts nothing any more."""


class Processes:
    """Running processes, each the leader of a process group of its own."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._servers: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopping = False

    def start(
        self, start: Callable[[], subprocess.Popen[bytes]], *, server: bool = False
    ) -> subprocess.Popen[bytes]:
        """Starts a process; raises Stopping after `stop`. Nobody waits for a server to end."""
        with self._lock:
            if self._stopping:
                raise Stopping("the local cloud is stopping")
            process = start()
            self._running.add(process)
            if server:
                self._servers.add(process)
            return process

    def wait(self, process: subprocess.Popen[bytes], seconds: float) -> bool:
        """Waits until it ends, or ends it after `seconds`; tells whether it ended by itself."""
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            end([process])
            return False
        else:
            return True
        finally:
            self.forget(process)

    def forget(self, process: subprocess.Popen[bytes]) -> None:
        """Clears away what a process that has ended may have left in its group."""
        _signal(process, signal.SIGKILL)
        with self._lock:
            self._running.discard(process)
            self._servers.discard(process)

    @property
    def busy(self) -> bool:
        """Whether any process is at work. Servers do not count."""
        return bool(self._running - self._servers)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def stop(self) -> None:
        """Starts no more processes, and ends all that run."""
        with self._lock:
            self._stopping = True
            running = list(self._running)
        end(running, grace=3)


def end(processes: Iterable[subprocess.Popen[bytes]], grace: float = GRACE) -> None:
    """Asks the processes to end, and kills those that have not after `grace` seconds."""
    asked = list(processes)
    for process in asked:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + grace
    for process in asked:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()
        _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return
