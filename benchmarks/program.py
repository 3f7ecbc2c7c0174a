"""Compares the program with its flat twins: `python -m benchmarks.program [accounts …]`.

The real engine runs the program and both twins in turn, with the same providers, on stacks of 1,
10, 100 and 1,000 accounts (90 to a project). Times are those of the command, in seconds. Memory is
the program's peak, in MiB. The engine's snapshot after each step is off: the time for writing it is
quadratic in the number of resources for every program, and would hide the differences.
"""

import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import flat, providers
from local import pulumi
from local.engine.server import Providers
from tests.stacks.recorder import Recorder, declare

ROOT = Path(__file__).resolve().parents[1]
SIZES = (1, 10, 100, 1000)
STACK = "bench"
_PER_PROJECT = 90
_PHASES = {
    "preview": ["preview"],
    "first up": ["up", "--yes", "--skip-preview"],
    "no-op up": ["up", "--yes", "--skip-preview", "--expect-no-changes"],
}
_SHIM = """\
import atexit, json, os, resource, runpy, sys
sys.path.insert(0, {root!r})
def note():
    used = resource.getrusage(resource.RUSAGE_SELF)
    with open({measured!r}, "w") as out:
        json.dump({{"mib": used.ru_maxrss / 1024}}, out)
atexit.register(note)
runpy.run_path({program!r})
"""
_IMAGE = "europe-west4-docker.pkg.dev/bench-images/bots/{}@sha256:" + "0" * 64


@dataclass(frozen=True)
class Cost:
    """The cost of one run of one phase: seconds, and the program's peak memory in MiB."""

    seconds: float
    mib: float


def bots(number: int) -> list[flat.Bot]:
    """The accounts of a stack, `_PER_PROJECT` to a project."""
    return [
        flat.Bot(f"bot{n:04}", f"handle{n:04}", f"bench-{n // _PER_PROJECT:03}")
        for n in range(number)
    ]


def values(stack: Sequence[flat.Bot]) -> dict[str, Any]:
    """The stack file's values, including the accounts."""
    return {
        "gcp:project": stack[0].project,
        "gcp:region": "europe-west4",
        "gpt2-bots:images": {p: _IMAGE.format(p) for p in ("app", "control", "scraper", "trainer")},
        "gpt2-bots:accounts": {
            bot.name: {
                "handle": bot.handle,
                "project": bot.project,
                "source": "timeline",
                "consent": "a made-up account",
                "x_terms_acknowledged": True,
                "collect": "15 5 * * *",
                "post": "0 9 * * *",
            }
            for bot in stack
        },
    }


def the_same(one: Recorder, other: Recorder) -> None:
    """Exit with an error if two programs do not register the same resources."""

    def resources(recorder: Recorder) -> dict[tuple[str, str], Any]:
        return {(r.type, r.name): dict(r.inputs) for r in recorder.resources_of_programs}

    ours, theirs = resources(one), resources(other)
    if ours.keys() != theirs.keys():
        raise SystemExit(f"not the same resources: {sorted(ours.keys() ^ theirs.keys())[:5]}")
    for key, inputs in ours.items():
        if inputs != theirs[key]:
            raise SystemExit(f"not the same inputs of {key}: {inputs} and {theirs[key]}")


class Bench:
    """One size of stack: a Pulumi project for each program, and providers that all of them use."""

    def __init__(self, folder: Path, stack: Sequence[flat.Bot]) -> None:
        self._folder = folder
        self._stack = stack
        self._values = values(stack)
        self._recorded = declare(STACK, self._values)
        self.registered = 1 + len(self._recorded.resources)  # the engine counts the stack as one
        self.resources = len(self._recorded.resources_of_programs)
        tokens = {r.type for r in self._recorded.resources_of_programs}
        self._providers = Providers(
            providers.handlers(tokens), providers.invokes(), providers.Memory()
        )
        self._providers.start()

    def end(self) -> None:
        """Stop the providers."""
        self._providers.stop()

    def twin(self, *, yields: bool) -> Path:
        """Write a flat twin, and check that it registers the same resources."""
        twin = self._folder / f"twin-{yields}.py"
        twin.write_text(flat.twin(STACK, self._values, self._stack, yields=yields))
        the_same(self._recorded, declare(STACK, self._values, twin))
        return twin

    def project(self, name: str, program: Path = ROOT / "__main__.py") -> None:
        """Create a Pulumi project. The accounts are in a file, as a large stack needs it."""
        project = self._folder / name
        (project / "stacks").mkdir(parents=True)
        shutil.copy(ROOT / "Pulumi.yaml", project)
        measured = str(project / "measured.json")
        shim = _SHIM.format(root=str(ROOT), measured=measured, program=str(program))
        (project / "__main__.py").write_text(shim)
        config = dict(self._values)
        accounts = config.pop("gpt2-bots:accounts")
        config["gpt2-bots:accounts_file"] = "accounts.yaml"
        (project / "stacks/accounts.yaml").write_text(yaml.safe_dump(accounts))
        (project / f"stacks/Pulumi.{STACK}.yaml").write_text(yaml.safe_dump({"config": config}))
        self.run(name, "stack", "init", STACK)

    def round(self, name: str) -> dict[str, Cost]:
        """Run all phases of one program on a new stack."""
        shutil.rmtree(self._folder / name / "home", ignore_errors=True)
        self.run(name, "stack", "init", STACK)
        return {phase: self._cost(name, arguments) for phase, arguments in _PHASES.items()}

    def _cost(self, name: str, arguments: Sequence[str]) -> Cost:
        measured = self._folder / name / "measured.json"
        measured.unlink(missing_ok=True)
        began = time.perf_counter()
        self.run(name, *arguments)
        seconds = time.perf_counter() - began
        return Cost(seconds, **json.loads(measured.read_text()))

    def run(self, name: str, *arguments: str) -> str:
        """Run the CLI in a project, and return what it prints."""
        project = self._folder / name
        stack = [] if arguments[0] == "stack" else ["--stack", STACK]
        command, environment = pulumi.command(
            [*arguments, *stack, "--non-interactive"], project / "home", self._providers.ports
        )
        environment |= {"PULUMI_EXPERIMENTAL": "1", "PULUMI_SKIP_CHECKPOINTS": "true"}
        process = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        if process.returncode:
            output = f"{process.stdout[-2000:]}{process.stderr[-2000:]}"
            raise SystemExit(f"{' '.join(arguments)}: {output}")
        return process.stdout


def _rounds(accounts: int) -> int:
    return 5 if accounts <= 10 else 3 if accounts <= 100 else 1


Runs = dict[str, list[dict[str, Cost]]]


def measure(accounts: int, rounds: int) -> tuple[int, Runs]:
    """Return the number of resources of a stack, and the costs of the three programs."""
    names = ("program", "flat", "yielding")
    runs: Runs = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), bots(accounts))
        try:
            bench.project("program")
            bench.project("flat", bench.twin(yields=False))
            bench.project("yielding", bench.twin(yields=True))
            for number in range(rounds):
                for name in names if number % 2 == 0 else reversed(names):
                    runs[name].append(bench.round(name))
                    print(f"{accounts} accounts, round {number + 1}, {name}", file=sys.stderr)
        finally:
            bench.end()
    return bench.resources, runs


def rows(accounts: int, resources: int, runs: Runs) -> list[str]:
    """Lines of a Markdown table: medians, and ratios with their ranges."""
    return [
        f"| {accounts:,} | {resources:,} | {phase} | {' | '.join(_cells(runs, phase))} |"
        for phase in _PHASES
    ]


def _cells(runs: Runs, phase: str) -> Iterator[str]:
    for digits, figure in ((1, _seconds), (0, _mib)):
        costs = {name: [figure(run[phase]) for run in runs[name]] for name in runs}
        ours = costs.pop("program")
        yield f"{statistics.median(ours):.{digits}f}"
        for theirs in costs.values():
            ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
            yield f"{statistics.median(theirs):.{digits}f}"
            yield f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def _seconds(cost: Cost) -> float:
    return cost.seconds


def _mib(cost: Cost) -> float:
    return cost.mib


def exponent(points: Mapping[int, float]) -> float:
    """The slope of log seconds over log accounts, by least squares: 1 is linear growth."""
    return statistics.linear_regression(
        [math.log(n) for n in points], [math.log(s) for s in points.values()]
    ).slope


def imports(rounds: int) -> tuple[list[float], list[float]]:
    """Seconds for importing the program's modules, and for only the SDK's modules that it needs."""
    header = (ROOT / "__main__.py").read_text().partition("\nasync def main")[0]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(source: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", source],
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    loaded = run(f"{header}\nimport sys\nprint(*(m for m in sys.modules if m[:7] == 'stacks.'))")
    files = (ROOT / f"{module.replace('.', '/')}.py" for module in loaded.split())
    texts = [file.read_text() for file in files if file.exists()]
    # A module of the SDK is loaded at the first use of one of its classes.
    classes = sorted({c for text in texts for c in re.findall(r"\bgcp\.[a-z0-9]+\.[A-Z]\w+", text)})
    sdk = "import pulumi, pulumi_gcp as gcp, pulumi_docker, pulumi_docker_build\n"
    needed = "\n".join(classes)
    program = f"{header}\nimport pulumi_gcp as gcp\n{needed}"
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for kept, source in zip(times, (program, sdk + needed), strict=True):
            began = time.perf_counter()
            run(source)
            kept.append(time.perf_counter() - began)
    return times


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description="Compares the program with its flat twins.")
    parser.add_argument("accounts", nargs="*", type=int, default=SIZES, help="sizes of the stacks")
    arguments = parser.parse_args()
    twins = "flat | ratio | yielding | ratio"
    print(f"| accounts | resources | | program s | {twins} | program MiB | {twins} |")
    print(f"| ---: | ---: | --- |{' ---: | ---: | --- | ---: | --- |' * 2}")
    seconds: dict[str, dict[int, float]] = {phase: {} for phase in _PHASES}
    for accounts in arguments.accounts:
        resources, runs = measure(accounts, _rounds(accounts))
        print("\n".join(rows(accounts, resources, runs)), flush=True)
        for phase in _PHASES:
            seconds[phase][accounts] = statistics.median(r[phase].seconds for r in runs["program"])
    print()
    for phase, points in seconds.items():
        large = {n: s for n, s in points.items() if n >= 10}
        if len(large) > 1:
            print(
                f"- Growth of {phase} from 10 accounts on:"
                f" accounts to the power {exponent(large):.2f}."
            )
    ours, sdk = imports(7)
    print(
        f"- Import: {statistics.median(ours):.2f} s; the SDK's modules that it needs alone"
        f" {statistics.median(sdk):.2f} s: ratio"
        f" {statistics.median(a / b for a, b in zip(ours, sdk, strict=True)):.2f}."
    )


if __name__ == "__main__":
    main()
