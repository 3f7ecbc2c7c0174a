"""The trainer's image has the CUDA libraries that TensorFlow loads, where its loader finds them."""

import importlib.metadata
import re
import tomllib

import pytest

from tests.stacks.recorder import ROOT

# What the extra `and-cuda` asks for and training GPT-2 never loads: multi-GPU communication, the
# compiler for XLA, random numbers and profiling.
LEFT_OUT = {
    "nvidia-cuda-cupti-cu12",
    "nvidia-cuda-nvcc-cu12",
    "nvidia-curand-cu12",
    "nvidia-nccl-cu12",
}
# cuBLAS compiles some of its kernels at run time; its wheel asks for the compiler.
ASKED_FOR_BY_CUBLAS = {"nvidia-cuda-nvrtc-cu12"}
DOCKERFILE = ROOT / "trainer_image/Dockerfile"


def bounds(requirement: str) -> tuple[str, frozenset[str]]:
    name = re.match(r"[a-z0-9-]+", requirement)
    assert name
    return name[0], frozenset(requirement.partition(";")[0][name.end() :].strip().split(","))


@pytest.fixture(scope="module")
def extra() -> dict[str, frozenset[str]]:
    """What TensorFlow asks for by `and-cuda`; its build for processors says the same."""
    told = importlib.metadata.metadata("tensorflow-cpu").get_all("Requires-Dist") or []
    return dict(bounds(line) for line in told if 'extra == "and-cuda"' in line)


@pytest.fixture(scope="module")
def locked() -> set[str]:
    lines = (ROOT / "requirements/trainer.txt").read_text().splitlines()
    return {line.partition("==")[0] for line in lines if line.startswith("nvidia-")}


def test_the_trainer_asks_for_cuda_as_tensorflow_bounds_it(
    extra: dict[str, frozenset[str]],
) -> None:
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["trainer"]
    asked = [bounds(line) for line in group if isinstance(line, str) and line.startswith("nvidia-")]
    assert {name: extra[name] for name, _ in asked} == dict(asked)
    assert {name for name, _ in asked} == extra.keys() - LEFT_OUT - ASKED_FOR_BY_CUBLAS


def test_the_lock_holds_exactly_the_cuda_libraries_that_are_needed(
    extra: dict[str, frozenset[str]], locked: set[str]
) -> None:
    assert locked == extra.keys() - LEFT_OUT


def test_the_loader_finds_the_driver_and_the_library_that_tensorflow_does_not_look_for() -> None:
    """Its loader's own path has every library's folder but cuSOLVER's."""
    path = re.search(r"LD_LIBRARY_PATH=(\S+)", DOCKERFILE.read_text())
    assert path
    assert path[1].split(":") == [
        "/usr/local/nvidia/lib64",
        "/usr/local/lib/python3.11/site-packages/nvidia/cusolver/lib",
    ]


def test_every_locked_cuda_library_has_its_layer(locked: set[str]) -> None:
    """One that no pattern names would unpack with all the small packages, last."""
    layers = re.compile(r"^RUN \./install\.sh '\^\((\S+)\)'", re.MULTILINE)
    patterns = layers.findall(DOCKERFILE.read_text())
    assert patterns
    matching = [[p for p in patterns if re.match(f"({p})", name)] for name in sorted(locked)]
    assert all(len(found) == 1 for found in matching), matching
