"""Faults on demand: how the network and the services fail on their bad days."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from local.gateway.errors import HttpError
from local.gateway.server import Response


def _unavailable() -> Exception:
    return HttpError(503, "backendError", "a fault that was asked for")


@dataclass(frozen=True)
class Fault:
    """Fails the next `times` matching calls, before or after their effect.

    `operation` is the call's ("*": any), and `name` a pattern to find in the name of the object it
    is about. `error` makes the exception that the handler raises, such as ConnectionCut.
    """

    operation: str = "*"
    name: str = ""
    times: int = 1
    when: Literal["before", "after"] = "before"
    error: Callable[[], Exception] = _unavailable

    def matches(self, operation: str, name: str) -> bool:
        """Whether the fault is meant for this call."""
        return self.operation in ("*", operation) and bool(re.search(self.name, name))


class Faults:
    """The faults still to happen; a call takes the first that matches it."""

    def __init__(self) -> None:
        self._left: list[tuple[Fault, int]] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Let a fault happen `fault.times` times."""
        with self._lock:
            self._left.append((fault, fault.times))

    def clear(self) -> None:
        """Let nothing fail any more."""
        with self._lock:
            self._left.clear()

    def run(self, operation: str, name: str, call: Callable[[], Response]) -> Response:
        """Make the call; raises the error of the fault that meets it, if any."""
        fault = self._take(operation, name)
        if fault is None:
            return call()
        if fault.when == "after":
            call()
        raise fault.error()

    def _take(self, operation: str, name: str) -> Fault | None:
        with self._lock:
            for place, (fault, left) in enumerate(self._left):
                if fault.matches(operation, name):
                    self._left[place : place + 1] = [(fault, left - 1)] if left > 1 else []
                    return fault
        return None
