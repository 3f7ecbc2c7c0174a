"""The time, which the local cloud sets for the processes that it starts."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pipeline.environment import variable

Clock = Callable[[], datetime]

_started = time.monotonic()


def now() -> datetime:
    """The time in UTC; with CLOCK (RFC 3339) in the environment, that plus the time since start."""
    start = variable("CLOCK")
    if not start:
        return datetime.now(UTC)
    return datetime.fromisoformat(start) + timedelta(seconds=time.monotonic() - _started)
