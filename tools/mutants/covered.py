"""Which tests run which line, and how long each takes: one run of the tests finds out."""

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

# These test the local cloud, shell scripts, and all programs together. They are too slow to run
# for each change.
_LEFT_OUT = ("local", "loop", "machine", "real")

# Seconds of tests that a change is given.
BUDGET = 90.0


@dataclass
class Covered:
    """Tests by their pytest node id, fixtures by their names in `contexts`."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])
    """Of each test, and of each fixture that tests share."""
    shared: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Such fixtures of each test that passed."""
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict[str, dict[int, list[str]]])
    """By file and line: the tests and fixtures that run it; "" at import."""

    def tests_of(self, mutation: Mutation) -> list[str]:
        """The tests that could notice a change, as far as the budget goes.

        Those that run the very line come first. Of these, the quickest file comes first, and in a
        file the quickest test.
        """
        chosen: list[str] = []
        left = BUDGET
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
        """Use these tests no more."""
        for test in tests:
            self.shared.pop(test, None)

    def cost(self, tests: Sequence[str]) -> float:
        """Seconds that tests take together."""
        shared = {fixture for test in tests for fixture in self.shared[test]}
        return sum(self.seconds.get(name, 0) for name in (*tests, *shared))

    def _names(self, mutation: Mutation) -> list[set[str]]:
        """Tests and fixtures: the likeliest first."""
        lines = self.lines.get(mutation.file, {})
        exact = {name for line in mutation.statement for name in lines.get(line, [])}
        # Tests of no single room look at all code.
        general = {test for test in self.shared if test.startswith("tests/test_")}
        if mutation.in_function and "" not in exact:
            return [exact, general]
        # Whoever uses the module, or the package, can notice what happens at its import.
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
    """Run the tests of a checkout, on two cores; those that fail there are told and left out."""
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
        found = Covered(lines=_lines(data, root))
        for file in Path(folder).glob("*.json"):
            process = json.loads(file.read_text())
            found.seconds |= process["fixtures"]
            for name, test in process["tests"].items():
                found.seconds[name] = test["seconds"] - sum(
                    process["fixtures"].get(fixture, 0) for fixture in test["began"]
                )
                if test["passed"]:
                    found.shared[name] = test["fixtures"]
    return found


def _lines(file: Path, root: Path) -> dict[str, dict[int, list[str]]]:
    data = CoverageData(str(file))
    data.read()
    return {
        Path(name).relative_to(root).as_posix(): data.contexts_by_lineno(name)
        for name in data.measured_files()
    }
