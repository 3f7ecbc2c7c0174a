"""What the build's first step lays out, and what it takes from outside."""

# pyright: reportPrivateUsage=false

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control_image import bundle
from control_image.bundle import Wanted
from pipeline import layout
from pipeline.errors import UserError
from pipeline.store import Store
from tests.app.releases import publish

REPOSITORY = "europe-west4-docker.pkg.dev/project/bots"
TAG = "20261102T000000Z-bbbbbbbb"
BASE = f"{REPOSITORY}/app@sha256:{'1' * 64}"
PAIR = Wanted("keeper", TAG, BASE)
HOSTILE = [
    "{}\nRUN reboot",
    "{}\n",
    "\n{}",
    "{} AS x",
    "{}\tx",
    "{}\\",
    "{}\r",
    "{}\u2028RUN x",
    "$(reboot)",
    "",
    None,
    3,
]


def put(store: Store, name: str, document: Any) -> None:
    found = store.read(name)
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    store.write(name, data, generation=found.generation if found else 0)


def point(store: Store, release: Any = TAG, base: Any = BASE) -> None:
    pointer = {"release": release, "at": "2026-11-02T00:00:00Z", "by": "test", "previous": None}
    put(store, layout.live_pointer("keeper"), pointer)
    put(store, layout.base_pointer("keeper"), {"base": base, "seed": "x"})


def release(store: Store, folder: Path, **listed: str) -> None:
    """A release of one file; `listed` are more names and digests of its manifest."""
    (folder / "made").mkdir()
    (folder / "made/model.bin").write_bytes(b"weights")
    publish(store, TAG, folder / "made", listed)


@pytest.fixture
def models(store: Store, tmp_path: Path) -> Store:
    """A released model, and the pointers that ask for it."""
    release(store, tmp_path)
    point(store)
    return store


@pytest.fixture
def umask() -> Iterator[None]:
    """Of a cautious person."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_the_bundle_is_of_the_pair_in_the_pointers(models: Store, tmp_path: Path) -> None:
    assert bundle.wanted(models, "keeper") == PAIR
    image = bundle.fetch(models, REPOSITORY, PAIR, tmp_path)
    assert image == f"{REPOSITORY}/keeper:{TAG}-{'1' * 12}"
    assert (tmp_path / "image").read_text() == image
    assert [file.name for file in (tmp_path / "bundle/model").iterdir()] == ["model.bin"]
    assert (tmp_path / "bundle/model/model.bin").read_bytes() == b"weights"
    assert (tmp_path / "bundle/Dockerfile").read_text().splitlines() == [
        f"FROM {BASE}",
        "COPY model/ model/",
        f"ENV RELEASE={TAG}",
        f"LABEL account=keeper release={TAG} base={BASE}",
    ]


def test_any_user_can_read_the_model_whatever_the_umask(
    models: Store, tmp_path: Path, umask: None
) -> None:
    bundle.fetch(models, REPOSITORY, PAIR, tmp_path)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "bundle").rglob("*")
    }
    assert modes == {"Dockerfile": 0o644, "model": 0o755, "model.bin": 0o644}


@pytest.mark.parametrize("kind", ["live", "base"])
def test_without_both_pointers_nothing_is_wanted(models: Store, kind: str) -> None:
    models._bucket.delete_blob(f"rollout/{kind}/keeper.json")
    assert bundle.wanted(models, "keeper") is None


@pytest.mark.parametrize("value", HOSTILE)
def test_a_release_that_is_no_release_tag_is_never_wanted(models: Store, value: Any) -> None:
    point(models, release=value.format(TAG) if isinstance(value, str) else value)
    with pytest.raises(UserError, match=r"/rollout/live/keeper\.json: release: "):
        bundle.wanted(models, "keeper")


@pytest.mark.parametrize("value", [*HOSTILE, f"{REPOSITORY}/app:latest", "scratch"])
def test_a_base_that_is_no_image_by_digest_is_never_wanted(models: Store, value: Any) -> None:
    point(models, base=value.format(BASE) if isinstance(value, str) else value)
    with pytest.raises(UserError, match=r"/rollout/base/keeper\.json: base: "):
        bundle.wanted(models, "keeper")


@pytest.mark.parametrize(
    "pointer",
    [
        "rollout/live/../x.json",
        "rollout/live/a b.json",
        "rollout/live/a\nb.json",
        "rollout/live/keeper.json\n",
        "\nrollout/live/keeper.json",
        "rollout/live/keeper.json/x.json",
        "rollout/live/-a.json",
        "rollout/live/.json",
        f"rollout/live/{'a' * 31}.json",
        "rollout/other/a.json",
        "$(reboot)",
        "",
    ],
)
def test_a_name_that_is_no_pointer_is_refused(pointer: str) -> None:
    with pytest.raises(UserError, match="is not a rollout pointer") as caught:
        bundle.account_of(pointer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["live", "base"])
def test_a_pointers_name_tells_the_account(kind: str) -> None:
    assert bundle.account_of(f"rollout/{kind}/keeper-2.json") == "keeper-2"


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_release_that_is_not_what_its_manifest_says_is_not_built(
    models: Store, tmp_path: Path, damage: str
) -> None:
    name = layout.release("keeper", TAG) + "model/model.bin"
    if damage == "missing":
        models._bucket.delete_blob(name)
    else:
        put(models, name, b"evil")
    with pytest.raises(UserError, match=r"model/model\.bin"):
        bundle.fetch(models, REPOSITORY, PAIR, tmp_path)
    assert not (tmp_path / "image").exists()


def test_a_file_that_the_manifest_does_not_list_is_not_in_the_bundle(
    models: Store, tmp_path: Path
) -> None:
    put(models, layout.release("keeper", TAG) + "model/extra", b"evil")
    bundle.fetch(models, REPOSITORY, PAIR, tmp_path)
    assert not (tmp_path / "bundle/model/extra").exists()


@pytest.mark.parametrize(
    "name", ["model/..", "model/../Dockerfile", "model/a/b", "model/", "model/.x"]
)
def test_a_file_is_never_laid_out_beside_the_model(store: Store, tmp_path: Path, name: str) -> None:
    release(store, tmp_path, **{name: "0" * 64})
    with pytest.raises(UserError, match="is not a valid name"):
        bundle.fetch(store, REPOSITORY, PAIR, tmp_path)


def test_a_release_without_a_manifest_is_not_built(models: Store, tmp_path: Path) -> None:
    models._bucket.delete_blob(layout.manifest("keeper", TAG))
    with pytest.raises(UserError, match="has no release"):
        bundle.fetch(models, REPOSITORY, PAIR, tmp_path)
    assert not (tmp_path / "image").exists()
