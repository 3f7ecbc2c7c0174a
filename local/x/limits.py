"""X's rate limits: calls per 15 minutes, stated in every response."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from local.x import problems
from pipeline.clock import Clock

WINDOW = timedelta(minutes=15)

# Calls per window, by endpoint: with the app's bearer token, and for one user.
# Source: https://docs.x.com/x-api/fundamentals/rate-limits
LIMITS: dict[str, tuple[int, int]] = {
    "user": (300, 900),
    "timeline": (10_000, 900),
    "me": (0, 75),
    "post": (0, 100),
}


@dataclass
class _Window:
    until: datetime
    used: int = 0


class Limits:
    """Counts the calls of each caller."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}
        self._lock = threading.Lock()

    def take(self, endpoint: str, user_id: str | None) -> list[tuple[str, str]]:
        """Count a call; returns the headers that state the limit. Problem (429) beyond it.

        `user_id` is None for the app itself.
        """
        limit = LIMITS[endpoint][0 if user_id is None else 1]
        now = self._clock()
        with self._lock:
            window = self._windows.setdefault((endpoint, user_id or ""), _Window(now + WINDOW))
            if window.until <= now:
                window.until, window.used = now + WINDOW, 0
            if window.used >= limit:
                raise problems.too_many(window.until, limit)
            window.used += 1
            return problems.rate_headers(limit, limit - window.used, window.until)
