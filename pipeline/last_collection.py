"""How collecting an account stands: the scraper writes it for the watcher and the operator."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from pipeline import documents, layout
from pipeline.documents import Document
from pipeline.store import Store


class LastCollection(Document):
    """When collecting last succeeded, and the state that has stopped it since, if one has."""

    version: int = 2
    at: Annotated[
        datetime | None, Field(description="the end of the last success; None before the first")
    ] = None
    state: Annotated[
        str | None, Field(description="such as `limit reached`; None if nothing stops collecting")
    ] = None
    since: Annotated[datetime | None, Field(description="when the state began")] = None
    seen: Annotated[datetime | None, Field(description="the last tick that found the state")] = None
    reason: Annotated[str, Field(description="one line that says how to mend it")] = ""


def read(store: Store, account: str) -> LastCollection | None:
    """How collecting stands; None before the first tick."""
    return documents.load(store, layout.collected(account), LastCollection)


def succeeded(store: Store, account: str, at: datetime) -> None:
    """Record a success. Nothing stops collecting now."""

    def change(last: LastCollection | None) -> LastCollection:
        fresh = {"at": at, "state": None, "since": None, "seen": None, "reason": ""}
        return (last or LastCollection()).model_copy(update=fresh)

    documents.update(store, layout.collected(account), LastCollection, change)


def stopped(store: Store, account: str, state: str, reason: str, now: datetime) -> bool:
    """Record that a state stops collecting; returns whether it begins now."""
    began = False

    def change(last: LastCollection | None) -> LastCollection:
        nonlocal began
        last = last or LastCollection()
        began = last.state != state
        since = now if began else last.since
        found = {"state": state, "since": since, "seen": now, "reason": reason}
        return last.model_copy(update=found)

    documents.update(store, layout.collected(account), LastCollection, change)
    return began
