"""Every text that a bot posted or meant to post. None is posted twice, and none is trained on."""

import hashlib
from collections.abc import Callable
from typing import Annotated, Any, cast

from pydantic import Field, model_validator

from pipeline import documents, layout
from pipeline.documents import Document, Part
from pipeline.novelty import words
from pipeline.store import Store


class Entry(Part):
    """One text, and the slot that it was meant for."""

    slot: str
    text: str


class History(Document):
    """All of an account's texts, the oldest first."""

    version: int = 3
    entries: list[Entry]
    forgotten: Annotated[
        list[str], Field(description="digests of texts that were forgotten on request")
    ] = Field(default_factory=list[str])

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, stored: Any) -> Any:
        """Version 1 was a bare list of the entries."""
        return {"entries": cast("object", stored)} if isinstance(stored, list) else stored


def digest(text: str) -> str:
    """The SHA-256 of a text's words: equal for two texts that a reader would call the same."""
    return hashlib.sha256(" ".join(words(text)).encode()).hexdigest()


def texts(store: Store, account: str) -> list[str]:
    """The texts, the oldest first."""
    history = documents.load(store, layout.history(account), History)
    return [entry.text for entry in history.entries] if history else []


def digests(store: Store, account: str) -> frozenset[str]:
    """The digests of all texts, forgotten ones too, none of which is posted again."""
    history = documents.load(store, layout.history(account), History)
    if history is None:
        return frozenset()
    return frozenset({*history.forgotten, *(digest(entry.text) for entry in history.entries)})


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


def forget(store: Store, account: str, is_forgotten: Callable[[str], bool]) -> int:
    """Keep nothing but their digests of the texts that are forgotten; returns how many."""
    gone: list[str] = []

    def without(history: History | None) -> History:
        history = history or History(entries=[])
        gone[:] = [entry.text for entry in history.entries if is_forgotten(entry.text)]
        if not gone:
            return history
        return history.model_copy(
            update={
                "entries": [entry for entry in history.entries if entry.text not in gone],
                "forgotten": [*history.forgotten, *map(digest, gone)],
            }
        )

    if texts(store, account):  # otherwise the change would create an empty document
        documents.update(store, layout.history(account), History, without)
    return len(gone)
