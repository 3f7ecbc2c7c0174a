"""Brings a base model that OpenAI publishes into a stack's models buckets."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from pipeline import published
from pipeline.store import Store


def bring(stores: Iterable[Store], name: str) -> list[str]:
    """Download the model once, and upload it where it is missing; return those buckets' names."""
    published.check_name(name)
    missing = [store for store in stores if not published.kept(store, name)]
    if missing:
        with tempfile.TemporaryDirectory(prefix="base-") as scratch:
            folder = Path(scratch, name)
            published.download(name, folder)
            for store in missing:
                published.keep(store, name, folder)
    return [store.bucket_name for store in missing]
