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
    found = documents.read(store, layout.collected(account), LastCollection)
    return found and found.document.at


def note(store: Store, account: str, at: datetime) -> None:
    """Write down a success, unless another execution writes down its own at the same time."""
    name = layout.collected(account)
    found = store.read(name)
    with suppress(PreconditionFailed):
        documents.write(store, name, LastCollection(at=at), found.generation if found else 0)
