"""X's bad days, on demand."""

import threading
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from local.web import Response
from local.x import problems
from pipeline.clock import Clock

Kind = Literal[
    "401", "402", "403", "429", "429-no-reset", "usage-cap", "500", "nonsense", "timeout", "cut"
]


@dataclass(frozen=True)
class Fault:
    """One call that fails; with `after_effect`, X did what it was asked all the same."""

    kind: Kind
    after_effect: bool


class Faults:
    """The faults to come, in order."""

    def __init__(self) -> None:
        self._next: deque[Fault] = deque()
        self._lock = threading.Lock()

    def add(self, fault: Fault, times: int) -> None:
        """Let the next `times` calls fail."""
        with self._lock:
            self._next.extend([fault] * times)

    def take(self) -> Fault | None:
        """The fault of this call."""
        with self._lock:
            return self._next.popleft() if self._next else None


def answer(kind: Kind, clock: Clock) -> Response:
    """What X answers on that day; not for those on which it does not."""
    reset = clock() + timedelta(minutes=15)
    if kind == "nonsense":
        page = b"<!DOCTYPE html><title>Over capacity</title><p>Something is technically wrong."
        return Response(200, page, [("Content-Type", "text/html")])
    return {
        "401": problems.unauthorized(),
        "402": problems.credits_depleted(),
        "403": problems.not_permitted(),
        "429": problems.too_many(reset),
        "429-no-reset": problems.too_many(None),
        "usage-cap": problems.usage_capped(reset),
        "500": problems.internal(),
    }[kind].response
