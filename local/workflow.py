"""Executes a workflow's own source on `workflows-emulator`: `python -m local.workflow`.

The emulator stands in for Google Workflows. It interprets the definition and makes its HTTP calls
for real, as whoever this process is to Google. It cannot show Workflows' quotas or its durability;
where it differs from Google's documented semantics in what our workflow uses, it is corrected here.
"""

import contextvars
import importlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, cast
from unittest import mock

import jsonschema
import requests
import yaml

from pipeline import clock
from pipeline.log import log

# Untyped, and imported by name so that no type checker asks for it where it is not installed.
_main: Any = importlib.import_module("workflows_emulator.main")
_render: Any = importlib.import_module("workflows_emulator.render")
_sys: Any = importlib.import_module("workflows_emulator.lib.sys_utils")
_time: Any = importlib.import_module("workflows_emulator.lib.time_utils")
_http: Any = importlib.import_module("workflows_emulator.lib.http_utils")
_utils: Any = importlib.import_module("workflows_emulator.utils")

_GOOGLE = re.compile(r"https://[a-z]+\.googleapis\.com(?=/)")
# Seconds of a longer sleep that are slept: what is waited for is on this machine, and soon there.
_LONGEST_SLEEP = 1.0


class Failed(Exception):
    """The execution is FAILED; `error` is what the workflow raised, `str()` its text."""

    def __init__(self, error: Any) -> None:
        super().__init__(json.dumps(error) if isinstance(error, dict) else str(error))
        self.error: Any = error


class Time:
    """The local cloud's, of which a workflow's sleeps take little."""

    def read(self) -> float:
        """Seconds since 1970."""
        return clock.now().timestamp()

    def sleep(self, seconds: float) -> None:
        """Sleep, as the workflow asks."""
        time.sleep(min(seconds, _LONGEST_SLEEP))

    def step(self) -> None:
        """Told of every step that is taken."""


def execute(source: str, argument: Any, time: Time) -> Any:
    """What the workflow returns; Failed with what it raises."""
    definition = yaml.safe_load(source)
    try:
        jsonschema.validate(definition, _main.WORKFLOW_SCHEMA)
    except jsonschema.ValidationError as error:
        raise Failed(f"the definition is none: {error.message}") from None
    # Workflows takes JSON, and passes the whole argument as the one parameter of `main`.
    names = definition["main"].get("params", [])
    given = {name: json.loads(json.dumps(argument)) for name in names}
    with _corrected(time):
        try:
            # The emulator takes this process's context variables for keys of every map.
            return contextvars.Context().run(_main.execute_workflow, definition, given)
        except _utils.WorkflowError as error:
            raise Failed(_plain(error.payload)) from None


def _plain(value: Any) -> Any:
    """The emulator's own dictionaries are not rendered, nor known to YAML."""
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        return {key: _plain(mapping[key]) for key in mapping}
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
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


def _parse(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _format(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _request(method: str, url: str, **call: Any) -> dict[str, Any]:
    """Errors of the connection are raised as what Workflows calls them, and can be caught."""
    # All of Google is at one address of the local cloud.
    local = os.environ.get("API_ENDPOINT_OVERRIDE")
    try:
        return _emulated_request(method, url=_GOOGLE.sub(local, url) if local else url, **call)
    except requests.Timeout as error:
        raise TimeoutError(str(error)) from error
    except requests.ConnectionError as error:
        raise ConnectionError(str(error)) from error


_emulated_request = _http.request
_emulated_step = _main.execute_step
_emulated_run = _render.run_code
_emulated_assign = _render.assign_var


def _log(
    text: Any = None, severity: str = "DEFAULT", json: Any = None, data: Any = None, **_: Any
) -> None:
    said = next((given for given in (text, json, data) if given is not None), "")
    log(severity, said if isinstance(said, str) else str(_plain(said)))


@contextmanager
def _corrected(time: Time) -> Generator[None]:
    emulated: dict[str, Any] = _render.STANDARD_LIBRARY

    def step(*given: Any, **named: Any) -> Any:
        time.step()
        return _emulated_step(*given, **named)

    def get_type(value: Any) -> Any:
        return emulated["get_type"](_plain(value))

    library: dict[str, Any] = {**emulated, "default": _default, "get_type": get_type}
    changes: list[tuple[Any, str, Any]] = [
        (_render, "render_str", _render_str),
        (_render, "STANDARD_LIBRARY", library),
        # An assignment that fails keeps the lock, and the next one would wait for ever.
        (_main, "LOCK", threading.RLock()),
        (_main, "execute_step", step),
        (_main, "run_code", _run_code),
        (_main, "assign_var", _assign_var),
        (_main, "sleep", time.sleep),
        (_sys, "sleep", time.sleep),
        (_sys, "now", time.read),
        (_sys, "log", _log),
        (_time, "parse", _parse),
        (_time, "format", _format),
        (_http, "request", _request),
    ]
    with ExitStack() as stack:
        for thing, name, new in changes:
            stack.enter_context(mock.patch.object(thing, name, new))
        yield


def main() -> int:
    """Execute what stands in the standard input as JSON: `source` and `argument`."""
    given = json.load(sys.stdin)
    try:
        result = execute(given["source"], given["argument"], Time())
    except Failed as failed:
        log("ERROR", str(failed))
        return 1
    log("INFO", "the workflow has ended", result=_plain(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
