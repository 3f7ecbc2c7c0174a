"""Gives the GPU to one process at a time, among those that train accounts on this machine."""

import fcntl
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

_POLL = 0.2  # seconds
_LOCK = ".gpu"


@contextmanager
def alone(scratch: Path, meanwhile: Callable[[], None]) -> Generator[None, None, None]:
    """Hold the GPU during the block; calls `meanwhile` repeatedly while it waits for the GPU.

    The processes share `scratch`, which has the lock file. A lock ends with its process.
    """
    with (scratch / _LOCK).open("w") as lock:
        while not _try_lock(lock.fileno()):
            meanwhile()
            time.sleep(_POLL)
        yield


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
