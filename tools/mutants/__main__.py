"""`make mutants` shows how many small changes of the code the tests notice."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tools.mutants import covered, judge, report
from tools.mutants.judge import Judged
from tools.mutants.mutations import Mutation, mutations, sample

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "app",
    "bots",
    "control_image",
    "pipeline",
    "scraper_image",
    "stacks",
    "trainer_image",
)
BASE = ROOT / ".cache/base"
WORKERS = 2


def main() -> int:
    """Judge a sample of mutations of the last commit, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("--number", type=int, default=300, help="how many mutations (300)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the mutations (1)")
    parser.add_argument(
        "names", nargs="*", help="judge only these mutations of the sample, and write no report"
    )
    arguments = parser.parse_args()
    with _checkouts() as checkouts:
        everything = list(mutations(checkouts[0], PACKAGES))
        chosen = sample(everything, arguments.number, arguments.seed)
        facts = {"total": len(everything), "seed": arguments.seed, "commit": _commit(checkouts[0])}
        if arguments.names:
            chosen = [mutation for mutation in chosen if mutation.id in arguments.names]
        judged = _judge(chosen, checkouts)
    if not arguments.names:
        for name in report.write(ROOT / "docs", judged, **facts):
            print(f"{name}: a survivor without explanation, or an explanation without survivor")
    return 0


def _judge(chosen: list[Mutation], checkouts: list[Path]) -> list[Judged]:
    known = covered.measure(checkouts[0])
    judged: dict[str, Judged] = {}
    waiting, budget = chosen, covered.BUDGET
    while waiting:
        for one in judge.judge(waiting, known, checkouts, budget):
            judged[one.mutation.id] = one
            print(f"{len(judged)}/{len(chosen)} {_line(one)}", flush=True)
        # A test that fails without a mutation, for example under load, has noticed nothing.
        killers = {test for one in judged.values() for test in one.killers if "::" in test}
        broken = killers.intersection(judge.failures(sorted(killers), checkouts[0]))
        known.forget(broken)
        waiting = [one.mutation for one in judged.values() if broken.intersection(one.killers)]
        if not waiting and budget < covered.THOROUGH:
            budget = covered.THOROUGH
            waiting = [one.mutation for one in judged.values() if one.verdict == "survived"]
    return [judged[mutation.id] for mutation in chosen]


def _line(one: Judged) -> str:
    mutation = one.mutation
    lines = [f"{one.verdict}: {mutation.file}:{mutation.line} ({mutation.id}, {one.tests} tests)"]
    return "\n".join(lines + (one.killers or report.diff(mutation)))


@contextmanager
def _checkouts() -> Generator[list[Path]]:
    """Create a checkout of the last commit for each worker, with everything that tests need."""
    with tempfile.TemporaryDirectory() as folder:
        # Tests look for recorded data beside the repository.
        Path(folder, "shared").symlink_to(ROOT.parent / "shared")
        copies = [Path(folder, f"worker-{number}") for number in range(WORKERS)]
        for copy in copies:
            subprocess.check_call(["git", "clone", "--quiet", "--shared", str(ROOT), str(copy)])
            (copy / ".venv").symlink_to(ROOT / ".venv")
            if BASE.is_dir():  # the tiny base model, which takes a minute to make
                shutil.copytree(BASE, copy / BASE.relative_to(ROOT))
        yield copies


def _commit(checkout: Path) -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.check_output(command, cwd=checkout, text=True).strip()


if __name__ == "__main__":
    sys.exit(main())
