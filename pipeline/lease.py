"""Leases: an object that says which run has something to itself, and until when.

A lease is taken, renewed and released by compare-and-set. It binds nobody once it has expired, or
if its object is damaged.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, cast

from pydantic import AwareDatetime, Field, model_validator

from pipeline import documents
from pipeline.documents import Damaged, Document, Found
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.store import PreconditionFailed, Store


class Busy(UserError):
    """Another run has the lease."""


class Terms(Document):
    """What a lease's object says."""

    version: int = 2
    run: str
    expires: AwareDatetime
    by: Annotated[str, Field(description="who took it for the run: a run has several holders")] = (
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
    """The terms that bind everybody now; None if nobody has the lease."""
    terms, _ = _read(store, name)
    return terms if terms and terms.expires > now else None


def take(
    store: Store,
    name: str,
    mine: Terms,
    now: datetime,
    keep: Callable[[Terms], bool] = lambda _: False,
) -> Found[Terms]:
    """Take a lease, and return its terms with their generation.

    A run may take its own lease again, which replaces the terms. Those for which `keep` is true
    are kept.

    Raises:
        Busy: Another run has it.
    """
    while True:
        theirs, generation = _read(store, name)
        if theirs and theirs.expires > now:
            if theirs.run != mine.run:
                raise Busy(f"run {theirs.run} has {name} until {theirs.expires:%F %H:%M} UTC")
            if keep(theirs):
                return Found(theirs, generation)
        try:
            return Found(mine, documents.write(store, name, mine, generation))
        except PreconditionFailed:  # somebody was faster: look again
            continue


def renew(store: Store, name: str, held: Found[Terms], expires: datetime) -> Found[Terms]:
    """Extend a lease that was taken.

    Raises:
        Busy: Another run has taken it meanwhile.
    """
    terms = held.document.model_copy(update={"expires": expires})
    try:
        return Found(terms, documents.write(store, name, terms, held.generation))
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
        log("INFO", f"{name} is another's by now")


def _read(store: Store, name: str) -> tuple[Terms | None, int]:
    """What the object says, None if it says nothing that can be read; and its generation."""
    found = store.read(name)
    if found is None:
        return None, 0
    try:
        terms = documents.parse(Terms, found.data, f"gs://{store.bucket_name}/{name}")
    except Damaged:
        return None, found.generation
    return terms, found.generation
