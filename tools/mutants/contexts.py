"""A pytest plugin that tells coverage which test runs, also in the programs that the test starts.

A fixture of a module or a session is recorded under its own name, and counts for every test that
uses it. The plugin writes each test's duration and its fixtures to the folder that the variable
`CONTEXTS` names.
"""

import json
import os
import subprocess
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import coverage
import pytest

FOLDER = "CONTEXTS"
_VARIABLE = "COVERAGE_PROCESS_CONFIG"
_Wrapper = Generator[None, Any, Any]


class Contexts:
    """The tests of one process: pytest itself, or a worker of pytest-xdist."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{os.getpid()}.json"
        self._tests: dict[str, dict[str, Any]] = {}
        self._fixtures: dict[str, float] = {}
        self._contexts = [""]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Function) -> _Wrapper:
        """Record the test under its name."""
        fixtures = item._fixtureinfo.name2fixturedefs  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        used = [found[-1] for found in fixtures.values()]
        shared = [_name(fixture) for fixture in used if fixture.scope != "function"]
        self._now = item.nodeid
        self._tests[item.nodeid] = {
            "fixtures": shared,
            "began": [],
            "seconds": 0.0,
            "passed": False,
        }
        self._enter(item.nodeid)
        try:
            return (yield)
        finally:
            self._leave()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> _Wrapper:
        """Record a shared fixture under its name."""
        if fixturedef.scope == "function":
            return (yield)
        name, began = _name(fixturedef), time.monotonic()
        self._enter(name)
        try:
            return (yield)
        finally:
            self._leave()
            self._fixtures[name] = time.monotonic() - began
            self._tests[self._now]["began"].append(name)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up the test's phases."""
        if (test := self._tests.get(report.nodeid)) is not None:
            test["seconds"] += report.duration
            if report.when == "call":
                test["passed"] = report.passed

    def pytest_sessionfinish(self) -> None:
        """Write the tests and fixtures of this process."""
        self._file.write_text(json.dumps({"tests": self._tests, "fixtures": self._fixtures}))

    def _enter(self, context: str) -> None:
        self._contexts.append(context)
        _switch(context)

    def _leave(self) -> None:
        self._contexts.pop()
        _switch(self._contexts[-1])


class _Popen(subprocess.Popen[Any]):
    """Adds coverage's variable to the environment that a test passes to a program."""

    def __init__(self, *arguments: Any, env: Mapping[str, str] | None = None, **more: Any) -> None:
        if env is not None:
            env = {**env, _VARIABLE: os.environ[_VARIABLE]}
        super().__init__(*arguments, env=env, **more)


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin, and let programs that tests start measure coverage."""
    subprocess.Popen = _Popen
    config.pluginmanager.register(Contexts(Path(os.environ[FOLDER])))


def _name(fixture: pytest.FixtureDef[Any]) -> str:
    return f"fixture {fixture.baseid}::{fixture.argname}"


def _switch(context: str) -> None:
    """Set the context in this process, and in the variable from which new processes read it."""
    measuring = coverage.Coverage.current()
    assert measuring is not None
    measuring.switch_context(context)
    config = measuring.config
    mine, config.context = config.context, context or None
    os.environ[_VARIABLE] = config.serialize()
    config.context = mine
