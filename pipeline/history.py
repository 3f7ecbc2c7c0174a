"""Every text that a bot posted or meant to post. None is posted twice, and none is trained on."""

from typing import Any, cast

from pydantic import model_validator

from pipeline import documents, layout
from pipeline.documents import Document, Part
from pipeline.store import Store


class Entry(Part):
    """One text, and the slot that it was meant for."""

    slot: str
    text: str


class History(Document):
    """All of an account's texts, the oldest first."""

    version: int = 2
    entries: list[Entry]

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, stored: Any) -> Any:
        """Version 1 was a bare list of the entries."""
        return {"entries": cast("object", stored)} if isinstance(stored, list) else stored


def texts(store: Store, account: str) -> list[str]:
    """The texts, the oldest first."""
    history = documents.load(store, layout.history(account), History)
    return [entry.text for entry in history.entries] if history else []


def remember(store: Store, account: str, slot: str, text: str) -> None:
    """Add a text to the account's history, unless it is there already."""

    def add(history: History | None) -> History:
        if history is None:
            return History(entries=[Entry(slot=slot, text=text)])
        if any((entry.slot, entry.text) == (slot, text) for entry in history.entries):
            return history
        entries = [*history.entries, Entry(slot=slot, text=text)]
        return history.model_copy(update={"entries": entries})

    documents.update(store, layout.history(account), History, add)
