"""TensorFlow finds a GPU with what the trainer's image installs, where that says it looks.

Everything is installed as the Dockerfile does, once (some 3 GB to download), into `.cache/trainer`.
The driver is a stand-in that answers "one L4" and computes nothing: what training itself loads
beyond that only a GPU can show.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real import driver
from tests.stacks.recorder import ROOT

pytestmark = pytest.mark.real

DOCKERFILE = (ROOT / "trainer_image/Dockerfile").read_text()
INSTALL, LOCK = ROOT / "trainer_image/install.sh", ROOT / "requirements/trainer.txt"
STEPS = re.findall(r"^RUN \./install\.sh '?([^'\n]+)'?$", DOCKERFILE, re.MULTILINE)


def bash(folder: Path, command: list[str], environment: Path) -> None:
    path = f"{environment / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment in the place of the image's Python."""
    recipe = DOCKERFILE + INSTALL.read_text() + LOCK.read_text() + sys.version
    folder = ROOT / ".cache/trainer" / hashlib.sha256(recipe.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            for other in set(folder.parent.iterdir()) - {folder, folder.parent / "lock"}:
                shutil.rmtree(other)
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            context = tmp_path_factory.mktemp("srv")
            shutil.copy(INSTALL, context)
            shutil.copy(LOCK, context / "requirements.txt")
            for step in STEPS:
                bash(context, ["./install.sh", step], folder)
            (folder / "whole").touch()
    return folder


@pytest.fixture(scope="session")
def paths(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The image's LD_LIBRARY_PATH, with the folders that stand for those of the container."""
    if shutil.which("gcc") is None:
        reason = "gcc is missing: apt-get install gcc libc6-dev"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    folder = driver.build(tmp_path_factory.mktemp("driver"))
    declared = re.search(r"LD_LIBRARY_PATH=(\S+)", DOCKERFILE)
    assert declared
    (site,) = environment.glob("lib/python3.*/site-packages")
    return [
        re.sub(r"^/usr/local/lib/python3\.\d+/site-packages", str(site), part).replace(
            "/usr/local/nvidia/lib64", str(folder)
        )
        for part in declared[1].split(":")
    ]


def check(environment: Path, paths: list[str]) -> str:
    done = subprocess.run(
        [environment / "bin/python", "-c", driver.CHECK],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": ":".join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_with_the_images_library_path_tensorflow_sees_the_gpu(
    environment: Path, paths: list[str]
) -> None:
    assert check(environment, paths) == "passed"


@pytest.mark.parametrize(
    ("left_out", "library"), [(0, "the driver's libcuda.so.1"), (1, "libcusolver.so.11")]
)
def test_without_either_folder_it_sees_none_and_the_error_names_the_library(
    environment: Path, paths: list[str], left_out: int, library: str
) -> None:
    said = check(environment, [part for n, part in enumerate(paths) if n != left_out])
    assert said.startswith("TensorFlow sees no GPU")
    assert f"{library} cannot be loaded" in said


def test_the_trainers_programs_load_without_what_was_left_out(environment: Path) -> None:
    names = sorted(file.stem for file in (ROOT / "trainer_image").glob("*.py"))
    modules = [f"trainer_image.{name}" for name in names if not name.startswith("__")]
    done = subprocess.run(
        [environment / "bin/python", "-c", f"import gpt_2_simple.gpt_2, {', '.join(modules)}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
