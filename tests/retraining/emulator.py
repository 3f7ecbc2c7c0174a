"""A workflow on a clock that its own sleeps move, as an account that the stand-ins know."""

import importlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from google.auth.credentials import Credentials

from local import workflow
from local.workflow import Failed, Time

__all__ = ["TOKEN", "Clock", "Failed", "execute", "steps"]

TOKEN = "of-the-workflow"

# Untyped, as in local.workflow.
_http: Any = importlib.import_module("workflows_emulator.lib.http_utils")


class Clock(Time):
    """Time that passes only in the sleeps of a workflow; `on_sleep` hears of each, after it.

    `steps` counts the steps taken, of which Workflows grants an execution so many.
    """

    def __init__(self, start: datetime) -> None:
        self.now = start
        self.steps = 0
        self.on_sleep: Callable[[], None] = lambda: None

    def read(self) -> float:
        return self.now.timestamp()

    def step(self) -> None:
        self.steps += 1

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.on_sleep()


def execute(source: str, argument: dict[str, Any], clock: Clock) -> Any:
    """What the workflow returns; Failed with what it raises."""
    with mock.patch.object(_http, "default", lambda scopes: (_Identity(), "test")):
        return workflow.execute(source, argument, clock)


class _Identity(Credentials):
    """The workflow's service account, with a token that the stand-in knows."""

    def __init__(self) -> None:
        super().__init__()
        self.token = TOKEN

    def refresh(self, request: Any) -> None:
        raise AssertionError("the token was refused")


def steps(definition: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every step as subworkflow, name and content, wherever it is nested."""

    def walk(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "steps":
                    for step in inner:
                        yield from step.items()
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    for name, called in definition.items():
        for step, content in walk(called):
            yield name, step, content
