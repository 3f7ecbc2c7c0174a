"""Every text that a bot posted or meant to post: nothing is posted twice, or trained on."""

import json
from typing import TypedDict

from pipeline import layout
from pipeline.store import Changed, Store


class Entry(TypedDict):
    """One text, and the slot that it was meant for."""

    slot: str
    text: str


def read(store: Store, account: str) -> tuple[list[Entry], int]:
    """All of an account's texts, the oldest first, and the generation of the object."""
    found = store.read(layout.history(account))
    return (json.loads(found.data), found.generation) if found else ([], 0)


def texts(store: Store, account: str) -> list[str]:
    """The texts alone."""
    return [entry["text"] for entry in read(store, account)[0]]


def remember(store: Store, account: str, slot: str, text: str) -> None:
    """Put a text into the account's history, if it is not there yet."""
    entry = Entry(slot=slot, text=text)
    while True:
        entries, generation = read(store, account)
        if entry in entries:
            return
        data = json.dumps([*entries, entry], ensure_ascii=False, indent=0).encode()
        try:
            store.write(layout.history(account), data, generation=generation)
        except Changed:
            continue
        return
