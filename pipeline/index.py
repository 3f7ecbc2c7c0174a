"""The index of an account's timeline: whose it is, and how far it was read (the cursor)."""

from typing import Annotated

from pydantic import Field

from pipeline import documents, layout
from pipeline.documents import Document, Stored
from pipeline.store import Store

Id = Annotated[str, Field(pattern=r"^[0-9]+$")]


class Index(Document):
    """Whose timeline this is, its newest collected tweet, and how many tweets came from it."""

    user_id: Id
    handle: str
    newest_id: Id | None = None
    count: int = 0


def read(store: Store, account: str) -> Stored[Index] | None:
    """The index and its generation; None before the first collection."""
    return documents.read(store, layout.index(account), Index)


def write(store: Store, account: str, index: Index, *, generation: int) -> int:
    """Replace that generation of the index; raises PreconditionFailed if it was replaced."""
    return documents.write(store, layout.index(account), index, generation)
