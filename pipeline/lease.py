"""Leases. A lease is an object that says which run alone may do something, and until when.

A lease is taken, renewed and released by compare-and-set. It binds nobody if it has expired or
its object is damaged.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, cast

from pydantic import AwareDatetime, Field, model_validator

from pipeline import documents
from pipeline.documents import Damaged, Document, Stored
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.store import PreconditionFailed, Store


class Busy(UserError):
    """Another run has the lease."""


class Terms(Document):
    """The document of a lease."""

    version: int = 2
    run: str
    expires: AwareDatetime
    by: Annotated[str, Field(description="who took it for the run, which has several holders")] = (
        "machine"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, stored: Any) -> Any:
        """In version 1, an account's lease named its run `holder`."""
        if not isinstance(stored, dict) or "holder" not in stored:
            return cast("object", stored)
        terms = dict(cast("dict[str, Any]", stored))
        return {"run": terms.pop("holder"), **terms}


def current(store: Store, name: str, now: datetime) -> Terms | None:
    """The terms of the lease; None if no run has it."""
    terms, _ = _read(store, name)
    return terms if terms and terms.expires > now else None


def take(
    store: Store,
    name: str,
    mine: Terms,
    now: datetime,
    keep: Callable[[Terms], bool] = lambda _: False,
) -> Stored[Terms]:
    """Take a lease, and return its terms with their generation.

    A run may take its own lease again. That replaces the terms, unless `keep` is true for them.

    Raises:
        Busy: Another run has it.
    """
    while True:
        theirs, generation = _read(store, name)
        if theirs and theirs.expires > now:
            if theirs.run != mine.run:
                raise Busy(f"run {theirs.run} has {name} until {theirs.expires:%F %H:%M} UTC")
            if keep(theirs):
                return Stored(theirs, generation)
        try:
            return Stored(mine, documents.write(store, name, mine, generation))
        except PreconditionFailed:  # somebody was faster: read it again
            continue


def renew(store: Store, name: str, held: Stored[Terms], expires: datetime) -> Stored[Terms]:
    """Extend a lease that was taken.

    Raises:
        Busy: Another run has taken it meanwhile.
    """
    terms = held.document.model_copy(update={"expires": expires})
    try:
        return Stored(terms, documents.write(store, name, terms, held.generation))
    except PreconditionFailed:
        raise Busy(f"another run has taken {name}") from None


def release(store: Store, name: str, run: str, by: str) -> None:
    """Delete a lease, if this run has it and this holder took it."""
    terms, generation = _read(store, name)
    if terms is None or (terms.run, terms.by) != (run, by):
        return
    try:
        store.delete(name, generation=generation)
    except PreconditionFailed:
        log("INFO", f"{name} is not released: another run has taken it")


def _read(store: Store, name: str) -> tuple[Terms | None, int]:
    """The terms and the generation; no terms if the object is absent or damaged."""
    stored = store.read(name)
    if stored is None:
        return None, 0
    try:
        terms = documents.parse(Terms, stored.data, f"gs://{store.bucket_name}/{name}")
    except Damaged:
        return None, stored.generation
    return terms, stored.generation
