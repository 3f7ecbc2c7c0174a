"""Puts releases into a bucket without a trainer: model files, manifest and pointer."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from pipeline import layout, release
from pipeline.release import Dataset, Loss, Manifest, Memorisation
from pipeline.settings import Settings
from pipeline.store import Store

_MADE = datetime(2026, 11, 23, 9, tzinfo=UTC)


def publish(store: Store, tag: str, model: Path, digests: dict[str, str] | None = None) -> None:
    """Upload a release of keeper. `digests` replaces digests in its manifest."""
    files: dict[str, str] = {}
    for file in sorted(model.iterdir()):
        name = f"model/{file.name}"
        store.upload(layout.release("keeper", tag) + name, file)
        files[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest = Manifest(
        account="keeper",
        tag=tag,
        created=_MADE,
        run="train-test",
        dataset=Dataset(digest="0" * 64, tweets=600, held_out=60),
        base_model="tiny",
        warm_start=None,
        compared_with=None,
        settings=Settings(),
        loss=Loss(
            held_out_float=2,
            held_out_int8=2,
            live_int8=None,
            train_curve=[],
            held_out_curve=[],
        ),
        memorisation=Memorisation(samples=0, held_out=0),
        valid=1,
        step=60,
        # A release has files that the server does not need; this one is not even in the bucket.
        files={**files, **(digests or {}), "checkpoint/model.data": "0" * 64},
        gate="passed",
        reason="",
    )
    name = layout.manifest("keeper", tag)
    store.write(name, manifest.model_dump_json().encode(), generation=0)


def point(store: Store, tag: str) -> None:
    """Make `tag` live."""
    found = release.read_live(store, "keeper")
    release.move_live(store, "keeper", tag, "a test", found[1] if found else 0, _MADE)
