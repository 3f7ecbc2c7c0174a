"""A base model is used only when it is complete, and one machine downloads it for all."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline import layout, published
from pipeline.errors import UserError
from pipeline.store import Store
from trainer_image import base_model, lease

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def now() -> datetime:
    return NOW


def put(folder: Path, *left_out: str) -> Path:
    folder.mkdir(parents=True)
    for file in set(layout.BASE_MODEL_FILES) - set(left_out):
        (folder / file).write_text(file)
    return folder


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that were downloaded; a file's content is its name."""
    done: list[str] = []

    def download(name: str, folder: Path, host: str = "") -> None:
        done.append(name)
        put(folder)

    monkeypatch.setattr(published, "download", download)
    return done


def test_what_the_machine_fetched_ahead_comes_before_the_mounted_bucket(tmp_path: Path) -> None:
    ahead, mount = tmp_path / "ahead", tmp_path / "mount"
    assert base_model.find("tiny", ahead, mount) is None
    mounted = put(mount / "base/tiny")
    assert base_model.find("tiny", ahead, mount) == mounted
    fetched = put(ahead / "tiny")
    assert base_model.find("tiny", ahead, mount) == fetched


def test_a_model_that_is_still_being_uploaded_is_not_taken_for_one(tmp_path: Path) -> None:
    put(tmp_path / "mount/base/124M", "vocab.bpe")
    assert base_model.find("124M", tmp_path / "ahead", tmp_path / "mount") is None


def test_the_first_run_brings_the_model_into_the_bucket_and_the_next_takes_it_from_there(
    store: Store, tmp_path: Path, downloads: list[str]
) -> None:
    for machine in ("one", "two"):
        folder = tmp_path / machine / "124M"
        assert base_model.fetch(store, "124M", folder, machine, now) == folder
        assert {path.name for path in folder.iterdir()} == set(layout.BASE_MODEL_FILES)
    assert downloads == ["124M"]


def test_machines_that_start_at_once_wait_for_the_one_that_downloads(
    store: Store, tmp_path: Path, downloads: list[str]
) -> None:
    first = lease.Lease(store, "base-124M", "first", now)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            published.store(store, "124M", put(tmp_path / "first"))
            first.release()

    base_model.fetch(store, "124M", tmp_path / "second/124M", "second", now, sleep)
    assert downloads == []
    assert len(slept) == 2


def test_a_machine_that_died_while_it_downloaded_delays_others_until_its_lease_ends(
    store: Store, tmp_path: Path, downloads: list[str]
) -> None:
    lease.Lease(store, "base-124M", "dead", now)
    time = [NOW]

    def sleep(_: float) -> None:
        time[0] += timedelta(minutes=10)

    clock: Callable[[], datetime] = lambda: time[0]  # noqa: E731
    base_model.fetch(store, "124M", tmp_path / "124M", "next", clock, sleep)
    assert downloads == ["124M"]


def test_an_own_model_that_is_not_in_the_bucket_is_named(
    store: Store, tmp_path: Path, downloads: list[str]
) -> None:
    with pytest.raises(UserError, match="base model 'mine': OpenAI publishes 124M"):
        base_model.fetch(store, "mine", tmp_path / "mine", "run", now)
    assert downloads == []
