"""Faults on demand: the answers that a network and a service give on their bad days."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from local.front.classify import Call
from local.front.refusal import Refused


@dataclass(frozen=True)
class Fault:
    """Fails the next `times` matching calls, before or after their effect.

    `operation` is that of `classify.Call` ("*": any), `name` a pattern to find in the object's
    name; `status` is what is answered, None cuts the connection instead.
    """

    operation: str = "*"
    name: str = ""
    times: int = 1
    when: Literal["before", "after"] = "before"
    status: int | None = 503

    def matches(self, call: Call) -> bool:
        """Whether the fault is meant for this call."""
        return self.operation in ("*", call.operation) and bool(re.search(self.name, call.name))

    def strike(self, cut: Callable[[], None]) -> None:
        """Refuse the call, or cut its connection."""
        if self.status is None:
            cut()
        else:
            raise Refused(self.status, "backendError", "a fault that was asked for")


class Faults:
    """The faults to come; the first that matches a call is taken."""

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

    def take(self, call: Call) -> Fault | None:
        """The fault that meets this call, if one does; it is then used up by one."""
        with self._lock:
            for place, (fault, left) in enumerate(self._left):
                if fault.matches(call):
                    self._left[place : place + 1] = [(fault, left - 1)] if left > 1 else []
                    return fault
        return None
