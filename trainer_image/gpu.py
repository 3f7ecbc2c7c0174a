"""One account at a time has the GPU, of all whose processes train on this machine."""

import fcntl
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

_LOOK_EVERY = 0.2  # seconds
_LOCK = ".gpu"


@contextmanager
def alone(scratch: Path, meanwhile: Callable[[], None]) -> Generator[None, None, None]:
    """The GPU for as long as the block takes; `meanwhile` is called again and again until then.

    The lock is a file in `scratch`, which all these processes share. It ends with its holder.
    """
    with (scratch / _LOCK).open("w") as lock:
        while not _taken(lock.fileno()):
            meanwhile()
            time.sleep(_LOOK_EVERY)
        yield


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
