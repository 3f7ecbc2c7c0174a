"""Storage fails while a release is uploaded."""

# pyright: reportPrivateUsage=false

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from local.services.storage.server import StorageServer
from pipeline import release
from pipeline.errors import PipelineError
from pipeline.store import Store
from trainer_image import account
from trainer_image.account import Trainer
from trainer_image.config import Config

from .test_release import FIRST, NOON, SECOND, THIRD, a_manifest, put

# A release that somebody else makes live.
ZEROTH = release.tag(NOON, "fedcba9876")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StorageServer]:
    server = StorageServer(tmp_path / "objects")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def models(server: StorageServer) -> Store:
    client: Any = storage.Client(
        project="test",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": server.upstream},
    )
    return Store(client.create_bucket("models"), timeout=1)


def test_storage_killed_in_mid_upload_leaves_no_release_and_the_next_try_completes_it(
    server: StorageServer, models: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config.read(
        {
            "DATA_BUCKET": "d",
            "MODELS_BUCKET": "m",
            "SETTINGS": "{}",
            "MAX_RUN_SECONDS": "60",
            "KEEP_RELEASES": "2",
        }
    )
    trainer = Trainer(config, "first", models, models, tmp_path, lambda: datetime.now(UTC))
    folder = tmp_path / "release"
    folder.mkdir()
    for name in "abcd":
        (folder / name).write_text(name)
    manifest = a_manifest(FIRST).model_copy(update={"files": dict.fromkeys("abcd", "00")})

    def kill_at_the_third(*_: Any, step: int, **__: Any) -> None:
        if step == 3:
            server.kill()

    monkeypatch.setattr(account, "log", kill_at_the_third)
    with pytest.raises(PipelineError, match=r"bucket models: cannot upload .*/c: "):
        trainer._upload(manifest, folder)
    monkeypatch.undo()

    server.start()
    assert len(models.names("releases/")) == 2
    assert release.list_releases(models, "keeper") == []
    trainer._upload(manifest, folder)
    assert release.list_releases(models, "keeper") == [manifest]


def test_a_resumed_run_does_not_move_a_pointer_that_was_moved_meanwhile(
    models: Store, tmp_path: Path
) -> None:
    """Nor a pointer that did not exist when its release was compared."""
    config = Config.read(
        {
            "DATA_BUCKET": "d",
            "MODELS_BUCKET": "m",
            "SETTINGS": "{}",
            "MAX_RUN_SECONDS": "60",
            "KEEP_RELEASES": "2",
        }
    )
    trainer = Trainer(config, "first", models, models, tmp_path, lambda: NOON)
    for tag, compared_with in ((SECOND, None), (THIRD, FIRST)):
        put(models, a_manifest(SECOND).model_copy(update={"tag": tag}))
        made = a_manifest(tag).model_copy(update={"compared_with": compared_with})
        live = release.read_live(models, "keeper")
        generation = live[1] if live else 0
        release.move_live(models, "keeper", ZEROTH, "operator", generation, NOON)
        outcome = trainer._go_live(made, release.read_live(models, "keeper"))
        assert outcome.outcome == "passed"
        found = release.read_live(models, "keeper")
        assert found is not None
        assert found[0].release == ZEROTH
