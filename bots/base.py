"""Copies a base model that OpenAI publishes into a stack's models buckets."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from pipeline import published
from pipeline.store import Store


def copy(stores: Iterable[Store], name: str) -> list[str]:
    """Download the model once, upload it where it is missing; return the names of those buckets."""
    published.check_name(name)
    missing = [store for store in stores if not published.is_stored(store, name)]
    if missing:
        with tempfile.TemporaryDirectory(prefix="base-") as scratch:
            folder = Path(scratch, name)
            published.download(name, folder)
            for store in missing:
                published.store(store, name, folder)
    return [store.bucket_name for store in missing]
