"""Gives the GPU to one account at a time, among all processes that train on this machine."""

import fcntl
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

_POLL = 0.2  # seconds
_LOCK = ".gpu"


@contextmanager
def alone(scratch: Path, meanwhile: Callable[[], None]) -> Generator[None, None, None]:
    """Wait for the GPU and hold it during the block; calls `meanwhile` repeatedly until then.

    The lock is a file in `scratch`, which the processes share. It ends when its holder does.
    """
    with (scratch / _LOCK).open("w") as lock:
        while not _taken(lock.fileno()):
            meanwhile()
            time.sleep(_POLL)
        yield


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
