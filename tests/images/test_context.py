"""An image is built of what git tracks, and of nothing that an editor leaves beside it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from local.containers import build_context

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted(ROOT.glob("*/Dockerfile"))
# What editors put beside `store.py`: Vim's swap file and its probe, Emacs's lock and copies,
# JetBrains' temporary file, and what Python leaves.
LITTER = (
    *(".store.py.swp", "4913", ".#store.py", "store.py~", "#store.py#", "store.py___jb_tmp___"),
    "__pycache__/store.cpython-311.pyc",
)


def tracked(*paths: str) -> set[str]:
    done = subprocess.run(
        ["git", "ls-files", "-z", *paths], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(filter(None, done.stdout.split("\0")))


def copied(dockerfile: Path) -> set[str]:
    """The paths in the repository that a Dockerfile copies."""
    found: set[str] = set()
    for line in dockerfile.read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and "--from=" not in line:
            found |= {word for word in words[1:-1] if not word.startswith("--")}
    return found


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: file.parent.name)
def test_the_context_is_what_git_tracks_of_what_is_copied(dockerfile: Path) -> None:
    described = {f"{dockerfile.parent.name}/Dockerfile{end}" for end in ("", ".dockerignore")}
    wanted = tracked(*copied(dockerfile)) - described
    assert set(build_context.admitted(ROOT, dockerfile)) & tracked() == wanted


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: file.parent.name)
def test_an_editor_rebuilds_nothing(dockerfile: Path, tmp_path: Path) -> None:
    folder = dockerfile.parent.name
    for name in (folder, "pipeline", "requirements", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    copy = tmp_path / folder / "Dockerfile"
    before = build_context.digest(tmp_path, copy)
    for name in (folder, "pipeline"):
        for litter in LITTER:
            file = tmp_path / name / litter
            file.parent.mkdir(exist_ok=True)
            file.write_text("left by an editor")
    assert build_context.digest(tmp_path, copy) == before
