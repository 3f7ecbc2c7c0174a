"""Runs a workflow's own source on `workflows-emulator`, on a clock that its sleeps move.

The emulator stands in for Google Workflows. It interprets the definition and makes its HTTP calls
for real. It cannot show Workflows' quotas, its identity and grants, or its durability; where it
differs from Google's documented semantics in what our workflow uses, it is corrected here.
"""

import contextvars
import importlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import jsonschema
import requests
import yaml
from google.auth.credentials import Credentials

# Untyped, and imported by name so that no type checker asks for it where it is not installed.
_main: Any = importlib.import_module("workflows_emulator.main")
_render: Any = importlib.import_module("workflows_emulator.render")
_sys: Any = importlib.import_module("workflows_emulator.lib.sys_utils")
_time: Any = importlib.import_module("workflows_emulator.lib.time_utils")
_http: Any = importlib.import_module("workflows_emulator.lib.http_utils")
_utils: Any = importlib.import_module("workflows_emulator.utils")

TOKEN = "of-the-workflow"


class Failed(Exception):
    """The execution is FAILED; `error` is what the workflow raised, `str()` its text."""

    def __init__(self, error: Any) -> None:
        super().__init__(json.dumps(error) if isinstance(error, dict) else str(error))
        self.error = error


class Clock:
    """Time that passes only in the sleeps of a workflow; `on_sleep` hears of each, after it.

    `steps` counts the steps taken, of which Workflows grants an execution so many.
    """

    def __init__(self, start: datetime) -> None:
        self.now = start
        self.steps = 0
        self.on_sleep: Callable[[], None] = lambda: None

    def read(self) -> float:
        return self.now.timestamp()

    def step(self, *step: Any, **named: Any) -> Any:
        self.steps += 1
        return _emulated_step(*step, **named)

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.on_sleep()


def execute(source: str, argument: dict[str, Any], clock: Clock) -> Any:
    """What the workflow returns; Failed with what it raises."""
    definition = yaml.safe_load(source)
    jsonschema.validate(definition, _main.WORKFLOW_SCHEMA)
    (parameter,) = definition["main"]["params"]
    with _corrected(clock):
        try:
            # Workflows takes JSON, and passes the whole argument as the one parameter of `main`.
            given = {parameter: json.loads(json.dumps(argument))}
            # The emulator takes this process's context variables for keys of every map.
            return contextvars.Context().run(_main.execute_workflow, definition, given)
        except _utils.WorkflowError as error:
            raise Failed(_plain(error.payload)) from None


def _plain(value: Any) -> Any:
    """The emulator's own dictionaries are not rendered, nor known to YAML."""
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in dict.keys(value)}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _render_str(value: Any, context: dict[str, Any]) -> Any:
    """An expression is its value. The emulator would write it as text and read that as YAML."""
    if not isinstance(value, str) or "${" not in value:
        return value
    if not (value.startswith("${") and value.endswith("}")):
        raise TypeError(f"not one expression, as Workflows takes it: {value!r}")
    return _plain(_run_code(value[2:-1], context))


def _run_code(code: str, context: dict[str, Any]) -> Any:
    """With the variables that it names alone: the emulator copies all that it is given."""
    return _emulated_run(code, {name: context[name] for name in context if name in code})


def _assign_var(key: str, value: Any, context: dict[str, Any]) -> Any:
    return _emulated_assign(key, value, {name: context[name] for name in context if name in key})


def _default(value: Any, otherwise: Any) -> Any:
    """Of null only, where the emulator takes any empty value for null."""
    return otherwise if value is None else value


def _request(method: str, **call: Any) -> dict[str, Any]:
    """Errors of the connection are raised as what Workflows calls them, and can be caught."""
    try:
        return _emulated_request(method, **call)
    except requests.Timeout as error:
        raise TimeoutError(str(error)) from error
    except requests.ConnectionError as error:
        raise ConnectionError(str(error)) from error


_emulated_request = _http.request
_emulated_step = _main.execute_step
_emulated_run = _render.run_code
_emulated_assign = _render.assign_var


class _Identity(Credentials):
    """The workflow's service account, with a token that the stand-in knows."""

    def __init__(self) -> None:
        super().__init__()
        self.token = TOKEN

    def refresh(self, request: Any) -> None:
        raise AssertionError("the token was refused")


@contextmanager
def _corrected(clock: Clock) -> Iterator[None]:
    emulated = _render.STANDARD_LIBRARY
    library = {
        **emulated,
        "default": _default,
        "get_type": lambda value: emulated["get_type"](_plain(value)),
    }
    changes: list[tuple[Any, str, Any]] = [
        (_render, "render_str", _render_str),
        (_render, "STANDARD_LIBRARY", library),
        # An assignment that fails keeps the lock, and the next one would wait for ever.
        (_main, "LOCK", threading.RLock()),
        (_main, "execute_step", clock.step),
        (_main, "run_code", _run_code),
        (_main, "assign_var", _assign_var),
        (_main, "sleep", clock.sleep),
        (_sys, "sleep", clock.sleep),
        (_sys, "now", clock.read),
        (_time, "parse", lambda moment: datetime.fromisoformat(moment).timestamp()),
        (_time, "format", lambda seconds: datetime.fromtimestamp(seconds, UTC).isoformat()),
        (_http, "request", _request),
        (_http, "default", lambda scopes: (_Identity(), "test")),
    ]
    with ExitStack() as stack:
        for thing, name, new in changes:
            stack.enter_context(mock.patch.object(thing, name, new))
        yield


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

    for name, workflow in definition.items():
        for step, content in walk(workflow):
            yield name, step, content
