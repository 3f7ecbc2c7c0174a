"""Finds out which tests run which line, and how long each takes, by running the tests once."""

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coverage import CoverageData

from tools.mutants import contexts
from tools.mutants.mutations import Mutation

# Tests of the local cloud, of shell scripts, and of all programs together. They are too slow to run
# for each mutation.
_LEFT_OUT = ("local", "loop", "machine", "real")

BUDGET = 90.0
"""The longest time in seconds of the tests of a mutation."""
THOROUGH = 4 * BUDGET
"""The budget for a mutation that survived the tests of a smaller one."""


@dataclass
class Covered:
    """Which tests run which line. Fixtures have their names in `contexts`."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])
    """The duration of each test, and of each fixture that tests share."""
    shared: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """The shared fixtures of each test that passed."""
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict[str, dict[int, list[str]]])
    """By file and line: the tests and fixtures that run the line; "" if it runs at import."""

    def tests_of(self, mutation: Mutation, budget: float = BUDGET) -> list[str]:
        """The tests that could notice a mutation, as far as the budget in seconds goes.

        Tests that run the mutated line come first. Among these, the quickest file comes first, and
        in a file the quickest test.
        """
        chosen: list[str] = []
        left = budget
        for names in self._names(mutation):
            by_file = defaultdict[str, list[str]](list)
            for test, shared in self.shared.items():
                if test not in chosen and (test in names or not names.isdisjoint(shared)):
                    by_file[test.partition("::")[0]].append(test)
            for tests in sorted(by_file.values(), key=self.cost):
                done: list[str] = []
                for test in sorted(tests, key=lambda test: self.cost([test])):
                    more = self.cost([*done, test]) - self.cost(done)
                    if more <= left or not chosen:
                        left -= more
                        done.append(test)
                        chosen.append(test)
        return chosen

    def forget(self, tests: Iterable[str]) -> None:
        """Do not use these tests any more."""
        for test in tests:
            self.shared.pop(test, None)

    def cost(self, tests: Sequence[str]) -> float:
        """The seconds that tests take together."""
        shared = {fixture for test in tests for fixture in self.shared[test]}
        return sum(self.seconds.get(name, 0) for name in (*tests, *shared))

    def _names(self, mutation: Mutation) -> list[set[str]]:
        """Sets of tests and fixtures that could notice a mutation, the likeliest first."""
        lines = self.lines.get(mutation.file, {})
        exact = {name for line in mutation.statement for name in lines.get(line, [])}
        # Tests of no single room look at all code.
        general = {test for test in self.shared if test.startswith("tests/test_")}
        if mutation.in_function and "" not in exact:
            return [exact, general]
        # Every test that uses the module, or the package, can notice what happens at its import.
        package = mutation.file.partition("/")[0]
        return [
            exact,
            {name for used in lines.values() for name in used},
            {
                name
                for file, used in self.lines.items()
                if file.startswith(f"{package}/")
                for names in used.values()
                for name in names
            },
            general,
        ]


def measure(root: Path) -> Covered:
    """Run the tests of a checkout on two cores. Tests that fail are left out."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        coverage = [sys.executable, "-m", "coverage"]
        pytest = ["pytest", "-q", "-p", "no:cacheprovider", "-p", contexts.__name__]
        chosen = ["-m", "not deep and not real", *(f"--ignore=tests/{n}" for n in _LEFT_OUT)]
        subprocess.run(
            [
                *coverage,
                "run",
                f"--data-file={data}",
                "-m",
                *pytest,
                "-n2",
                "--dist=loadfile",
                *chosen,
            ],
            cwd=root,
            env={**os.environ, contexts.FOLDER: folder, "PYTHONPATH": str(root)},
            check=False,
        )
        subprocess.run(
            [*coverage, "combine", "--quiet", f"--data-file={data}"], cwd=root, check=True
        )
        covered = Covered(lines=_lines(data, root))
        for file in Path(folder).glob("*.json"):
            process = json.loads(file.read_text())
            covered.seconds |= process["fixtures"]
            for name, test in process["tests"].items():
                covered.seconds[name] = test["seconds"] - sum(
                    process["fixtures"].get(fixture, 0) for fixture in test["began"]
                )
                if test["passed"]:
                    covered.shared[name] = test["fixtures"]
    return covered


def _lines(file: Path, root: Path) -> dict[str, dict[int, list[str]]]:
    data = CoverageData(str(file))
    data.read()
    return {
        Path(name).relative_to(root).as_posix(): data.contexts_by_lineno(name)
        for name in data.measured_files()
    }
