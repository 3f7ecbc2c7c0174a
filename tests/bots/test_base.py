"""`bots base` downloads once for all the projects of a stack, and nothing that is there already."""

from collections.abc import Callable
from pathlib import Path

import pytest
from google.cloud import storage

from bots import base
from pipeline import layout, published
from pipeline.errors import UserError
from pipeline.store import Store


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []

    def download(name: str, folder: Path, host: str = "") -> None:
        done.append(name)
        folder.mkdir()
        for file in layout.BASE_MODEL_FILES:
            (folder / file).write_text(file)

    monkeypatch.setattr(published, "download", download)
    return done


def test_a_model_is_downloaded_once_and_put_where_it_is_missing(
    bucket_factory: Callable[[], storage.Bucket], downloads: list[str]
) -> None:
    stores = [Store(bucket_factory(), timeout=5) for _ in range(3)]
    assert base.copy(stores[:1], "124M") == [stores[0].bucket_name]
    assert base.copy(stores, "124M") == [store.bucket_name for store in stores[1:]]
    assert base.copy(stores, "124M") == []
    assert downloads == ["124M", "124M"]
    for store in stores:
        names = {*layout.BASE_MODEL_FILES, "manifest.json"}
        assert set(store.names("base/")) == {f"base/124M/{name}" for name in names}


def test_a_model_that_nobody_publishes_is_refused_before_any_request(downloads: list[str]) -> None:
    with pytest.raises(UserError, match="OpenAI publishes 124M"):
        base.copy([], "my-own")
    assert downloads == []
