"""How long an execution waits for X, and whether it has been told to end."""

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from pipeline.clock import Clock
from pipeline.errors import Unavailable
from pipeline.x import XError

# Seconds to wait where X does not say how long.
_FIRST, _LONGEST = 5, 300
# The time that the work after a wait is given.
_MARGIN = timedelta(seconds=60)


class Ended(Unavailable):
    """The platform ends this execution."""


class Patience:
    """Waits for X as long as the execution has time."""

    def __init__(self, until: datetime, clock: Clock, sleep: Callable[[float], None]) -> None:
        """Be patient until the platform ends the execution.

        Args:
            until: When the platform ends the execution.
            clock: The time.
            sleep: Waits for a number of seconds, never more than one.
        """
        self.until = until
        self.clock = clock
        self._sleep = sleep
        self._told_to_end = False

    def end(self) -> None:
        """Let the execution end before its next request, and end a wait now.

        A handler of SIGTERM calls this.
        """
        self._told_to_end = True

    def check(self) -> None:
        """Raise Ended if the execution has been told to end."""
        if self._told_to_end:
            raise Ended("told to end; nothing is lost, the next execution continues")

    def wait(self, error: XError, tries: int) -> bool:
        """Wait until the request may be sent again, after it failed `tries` times.

        Returns False if waiting does not help, if the time does not suffice, or once the execution
        is told to end.
        """
        if error.kind not in ("rate", "unavailable"):
            return False
        seconds = min(_FIRST * 2 ** (tries - 1), _LONGEST)
        if error.resets:
            seconds = max(math.ceil((error.resets - self.clock()).total_seconds()), 1)
        if self.clock() + timedelta(seconds=seconds) + _MARGIN > self.until:
            return False
        for _ in range(seconds):
            if self._told_to_end:
                return False
            self._sleep(1)
        return not self._told_to_end
