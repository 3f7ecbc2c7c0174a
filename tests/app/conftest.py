"""An X that fails on demand, and a model small enough to make in each test session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.novelty import NoveltyIndex
from tests.app.tiny_model import build
from tests.app.x_double import XDouble


@pytest.fixture
def x(monkeypatch: pytest.MonkeyPatch) -> Iterator[XDouble]:
    double = XDouble()
    monkeypatch.setenv("X_API_URL", double.url)
    yield double
    double.close()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release's model files. Their random weights write short nonsense."""
    folder = tmp_path_factory.mktemp("model")
    build(folder)
    NoveltyIndex.build(["the lamp was lit at dusk and burned until the morning"]).save(
        folder / "shingles.bin"
    )
    return folder
