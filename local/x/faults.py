"""The bad days of X, as errors that a handler raises."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

from local.gateway.server import ConnectionCut, NoResponse, Response
from local.x import problems
from local.x.problems import Problem

Kind = Literal[
    "401", "402", "403", "429", "429-no-reset", "usage-cap", "500", "nonsense", "timeout", "cut"
]


def error(kind: Kind, now: datetime) -> Exception:
    """What to raise for one kind of bad day."""
    errors: dict[Kind, Callable[[], Exception]] = {
        "401": problems.unauthorized,
        "402": problems.credits_depleted,
        "403": problems.not_permitted,
        "429": lambda: problems.too_many(now + timedelta(minutes=15)),
        "429-no-reset": lambda: problems.too_many(None),
        "usage-cap": lambda: problems.usage_capped(now + timedelta(minutes=15)),
        "500": problems.internal,
        "nonsense": _nonsense,
        "timeout": NoResponse,
        "cut": ConnectionCut,
    }
    return errors[kind]()


def _nonsense() -> Problem:
    page = b"<!DOCTYPE html><title>Over capacity</title><p>Something is technically wrong."
    return Problem(Response(200, page, [("Content-Type", "text/html")]))
