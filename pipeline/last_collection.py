"""When collecting an account last succeeded: the scraper writes it, the watcher reads it."""

from contextlib import suppress
from datetime import datetime

from pipeline import documents, layout
from pipeline.documents import Document
from pipeline.store import PreconditionFailed, Store


class LastCollection(Document):
    """When the last collection that succeeded ended."""

    at: datetime


def read(store: Store, account: str) -> datetime | None:
    """When collecting last succeeded; None if it never has."""
    last = documents.load(store, layout.collected(account), LastCollection)
    return last and last.at


def record(store: Store, account: str, at: datetime) -> None:
    """Record a success, unless another execution records its own at the same time."""
    name = layout.collected(account)
    stored = store.read(name)
    with suppress(PreconditionFailed):
        documents.write(store, name, LastCollection(at=at), stored.generation if stored else 0)
