"""The index of an account's timeline: whose it is, and how far it was read (the cursor)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline import layout
from pipeline.errors import UserError
from pipeline.store import Store

Id = Annotated[str, Field(pattern=r"^[0-9]+$")]


class Index(BaseModel):
    """Whose timeline this is, its newest collected tweet, and how many tweets came from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: Id
    handle: str
    newest_id: Id | None = None
    count: int = 0


def read(store: Store, account: str) -> tuple[Index, int] | None:
    """The index and its generation; None before the first collection."""
    found = store.read(layout.index(account))
    if found is None:
        return None
    try:
        return Index.model_validate_json(found.data), found.generation
    except ValidationError:
        raise UserError(f"{found.name}: no cursor; restore the object's last version") from None


def write(store: Store, account: str, index: Index, *, generation: int) -> int:
    """Put the index in place of that generation; raises store.Changed where another is found."""
    data = index.model_dump_json().encode()
    return store.write(layout.index(account), data, generation=generation)
