"""Judges mutations: runs tests, and says whether one notices the mutation."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tools.mutants.covered import BUDGET, Covered
from tools.mutants.mutations import Mutation

Verdict = Literal["killed", "timed out", "refused", "survived"]
"""A change is refused if no test notices it and pyright reports an error."""

# The factor by which tests may take longer than measured. A mutation may make a test wait for ever.
_SLOWER = 4
_START = 60.0  # seconds, for pytest and what tests import
_PYTEST = "pytest itself"


@dataclass(frozen=True)
class Judged:
    """The verdict on a mutation, and the tests that failed because of it."""

    mutation: Mutation
    verdict: Verdict
    tests: int
    killers: list[str] = field(default_factory=list[str])


def judge(
    mutations: Sequence[Mutation],
    covered: Covered,
    checkouts: Sequence[Path],
    budget: float = BUDGET,
) -> Iterator[Judged]:
    """Yield the verdicts in the order of their completion; each worker uses its own checkout.

    `budget` is the longest time in seconds of the tests of a mutation.
    """
    free: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for checkout in checkouts:
        free.put(checkout)

    def work(mutation: Mutation) -> Judged:
        checkout = free.get()
        try:
            return _judge(mutation, covered, checkout, budget)
        finally:
            free.put(checkout)

    with ThreadPoolExecutor(len(checkouts)) as workers:
        try:
            for done in as_completed([workers.submit(work, mutation) for mutation in mutations]):
                yield done.result()
        finally:  # an interruption does not wait for the other mutations
            workers.shutdown(wait=False, cancel_futures=True)


def _judge(mutation: Mutation, covered: Covered, checkout: Path, budget: float) -> Judged:
    tests = covered.tests_of(mutation, budget)
    file = checkout / mutation.file
    original = file.read_text()
    file.write_text(mutation.text())
    try:
        failed = failures(tests, checkout, "-x", seconds=_START + _SLOWER * covered.cost(tests))
        if failed:
            return Judged(mutation, "killed", len(tests), failed)
        return Judged(
            mutation, "refused" if _refused(mutation, checkout) else "survived", len(tests)
        )
    except subprocess.TimeoutExpired:
        return Judged(mutation, "timed out", len(tests))
    finally:
        file.write_text(original)


def _refused(mutation: Mutation, checkout: Path) -> bool:
    """Whether pyright, which every commit has to pass, reports an error in the changed file."""
    pyright = [sys.executable, "-m", "pyright", mutation.file]
    return subprocess.run(pyright, cwd=checkout, capture_output=True, check=False).returncode == 1


def failures(
    tests: Sequence[str], checkout: Path, *options: str, seconds: float | None = None
) -> list[str]:
    """Run tests; returns those that fail, and files that pytest cannot import."""
    if not tests:
        return []
    with tempfile.TemporaryDirectory() as cache:
        with subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, "-o", f"cache_dir={cache}", *tests],
            cwd=checkout,
            # Bytecode of a changed file could outlive the change.
            env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as pytest:
            try:
                status = pytest.wait(seconds)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(pytest.pid, signal.SIGKILL)
        if status == 0:
            return []
        failed = Path(cache, "v/cache/lastfailed")
        return list(json.loads(failed.read_text())) if failed.exists() else [_PYTEST]
