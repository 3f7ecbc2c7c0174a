"""Measures the size, the start and the memory of the images: `make bench-images`.

Real Docker builds the images, as in `make test-real`. A cold start begins with an empty page cache,
so the machine should be idle. Memory is the peak of a process that loads a model of GPT-2 124M's
shape with random weights. It is compared with the limit that the stack declares.
"""

import re
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.containers import build_context
from pipeline import novelty
from pipeline.novelty import NoveltyIndex
from tests.app import tiny_model
from tests.real import docker
from tests.real.conftest import CACHE, FOLDERS, base, bases_of, build_as_declared, declared_build
from tests.real.docker import Docker
from tests.stacks.recorder import ROOT, declare, stack_values

STARTS = 7
# Arguments with which each program ends at once, with an error about its arguments or environment.
LEAST = {"app": ["post"], "control": [], "scraper": []}
WARM_BUDGET = 0.9
"""Seconds from `docker run` to the end of a program called as in LEAST, with a warm page cache."""
_MB = 1_000_000
_PEAK = """
import atexit, resource, runpy, sys
peak = lambda: print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
atexit.register(peak)
sys.argv = ["app", "self-test"]
runpy.run_module("app", run_name="__main__", alter_sys=True)
"""


def main() -> int:
    """Print the tables; the exit status is 1 if a start or a peak is over its budget."""
    fine = True
    with (
        tempfile.TemporaryDirectory() as settings,
        docker.daemon(CACHE / "docker", {}, Path(settings)) as daemon,
    ):
        for program, words in LEAST.items():
            image = _built(daemon, program)
            _print_context(program)
            _print_layers(daemon, image)
            fine = _print_starts(daemon, image, words) and fine
        fine = _print_memory(daemon) and fine
    return 0 if fine else 1


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _built(daemon: Docker, program: str) -> str:
    image = f"{program}:built"
    for name in bases_of(ROOT / FOLDERS[program] / "Dockerfile"):
        base(daemon, name)
    build_as_declared(daemon, program, image)
    return image


def _print_context(program: str) -> None:
    files = build_context.admitted(ROOT, ROOT / declared_build(program)["dockerfile"])
    size = sum((ROOT / file).stat().st_size for file in files)
    _print(f"\n{program}: context {len(files)} files, {size / 1000:.0f} kB")


def _print_layers(daemon: Docker, image: str) -> None:
    history = daemon.run("history", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", image)
    for line in reversed(history.splitlines()):
        size, _, made_by = line.partition("\t")
        if int(size):
            _print(f"  {int(size) / _MB:8.1f} MB  {made_by[:70] or 'the base'}")


def _print_starts(daemon: Docker, image: str, words: list[str]) -> bool:
    Path("/proc/sys/vm/drop_caches").write_text("3")
    cold = _start(daemon, image, words)
    warm = statistics.median(_start(daemon, image, words) for _ in range(STARTS))
    _print(f"  start {cold:.2f} s cold, {warm:.2f} s warm (budget {WARM_BUDGET})")
    return warm <= WARM_BUDGET


def _start(daemon: Docker, image: str, words: list[str]) -> float:
    begun = time.monotonic()
    daemon.container(image, *words)
    return time.monotonic() - begun


def _print_memory(daemon: Docker) -> bool:
    limit = _limits("keeper-post")["memory"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        tiny_model.build(folder, tiny_model.SHAPE_124M)
        NoveltyIndex.build(["a tweet"]).save(folder / novelty.FILE)
        options = [
            *("--entrypoint=python", "--volume", f"{folder}:/srv/model:ro"),
            *(f"--memory={limit.removesuffix('i').lower()}", "--cpus=1"),
        ]
        begun = time.monotonic()
        status, output = daemon.container("app:built", "-c", _PEAK, options=options)
    match = re.search(r"^peak (\d+)$", output, re.MULTILINE)
    peak = f"{int(match[1]) / 1024:.0f} MiB" if match else "killed"
    took = time.monotonic() - begun
    _print(f"\nself-test at 124M's shape: peak {peak} of {limit}, {took:.1f} s, status {status}")
    return status == 0


def _limits(job: str) -> Mapping[str, Any]:
    recorded = declare("local", stack_values("local"))
    declared = recorded.one("gcp:cloudrunv2/job:Job", job).inputs
    return declared["template"]["template"]["containers"][0]["resources"]["limits"]


if __name__ == "__main__":
    sys.exit(main())
