"""Faults on demand: how the network, Cloud Storage and X fail on their bad days."""

import functools
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from local.gateway.errors import HttpError
from local.gateway.server import ConnectionCut, NoResponse, Request, Response
from local.services.storage.api import CloudStorage
from local.services.storage.calls import Call
from local.x import XServer
from local.x.problems import PROBLEMS, Problem, plain, rate_headers, unauthorized
from pipeline.clock import Clock

Kind = Literal[
    "401",
    "402",
    "403",
    "429",
    "429-no-reset",
    "usage-cap",
    "500",
    "503",
    "nonsense",
    "timeout",
    "cut",
]


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


class FaultyStorage(CloudStorage):
    """Cloud Storage that fails on demand; `faults` are those still to happen."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.faults = Faults()

    def make(self, call: Call, request: Request, member: str) -> Response:
        """Make a call, with the fault that is due for it."""
        made = functools.partial(super().make, call, request, member)
        return self.faults.run(call.operation, call.name, made)


class FaultyX(XServer):
    """X that fails on demand."""

    def __init__(self, folder: Path, clock: Clock, **options: Any) -> None:
        self._now = clock
        self._bad_days = Faults()
        super().__init__(folder, clock, **options)

    def fail_next(self, kind: Kind, times: int = 1, *, after_effect: bool = False) -> None:
        """Let the next calls fail; with `after_effect`, after X has done what was asked."""
        when = "after" if after_effect else "before"
        error = functools.partial(_bad_day, kind, self._now)
        self._bad_days.add(Fault(times=times, when=when, error=error))

    def respond(self, request: Request) -> Response:
        """The response, or the fault that is due for it."""
        made = functools.partial(super().respond, request)
        return self._bad_days.run(request.method, request.path, made)


def _bad_day(kind: Kind, clock: Clock) -> Exception:
    """What a handler raises on one kind of bad day."""
    reset = clock() + timedelta(minutes=15)
    errors: dict[Kind, Callable[[], Exception]] = {
        "401": unauthorized,
        "402": _credits_depleted,
        "403": lambda: plain(403, "Forbidden", "You are not permitted to perform this action."),
        "429": lambda: _too_many(rate_headers(900, 0, reset)),
        "429-no-reset": lambda: _too_many([]),
        "usage-cap": lambda: _usage_capped(reset),
        "500": lambda: plain(500, "Internal Server Error", "Internal Server Error"),
        "503": lambda: plain(503, "Service Unavailable", "Service Unavailable"),
        "nonsense": _nonsense,
        "timeout": NoResponse,
        "cut": ConnectionCut,
    }
    return errors[kind]()


def _too_many(headers: list[tuple[str, str]]) -> Problem:
    return plain(429, "Too Many Requests", "Too Many Requests", headers)


def _nonsense() -> Problem:
    page = b"<!DOCTYPE html><title>Over capacity</title><p>Something is technically wrong."
    return Problem(Response(200, page, [("Content-Type", "text/html")]))


def _credits_depleted() -> Problem:
    """No money on the account."""
    body = {
        "title": "CreditsDepleted",
        "detail": "Your enrolled account [1900000000000000001] does not have any credits to "
        "fulfill this request.",
        "type": f"{PROBLEMS}/credits",
    }
    return Problem(Response.json(402, body))


def _usage_capped(reset: datetime) -> Problem:
    """The monthly usage cap, which has the status of a rate limit but is none."""
    body = {
        "account_id": "1900000000000000001",
        "product_name": "standard-basic",
        "title": "UsageCapExceeded",
        "period": "Monthly",
        "scope": "Product",
        "detail": "Usage cap exceeded: Monthly product cap",
        "type": f"{PROBLEMS}/usage-capped",
    }
    header = ("x-rate-limit-reset", str(int(reset.timestamp())))
    return Problem(Response.json(429, body, [header]))
