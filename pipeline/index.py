"""The index of an account's tweets: whose they are, and which of them are held.

Tweets are held in ranges of ids. A gap between two ranges, or above or below all of them, is what
is still to be collected. A page of a timeline covers the ids from its oldest tweet up to the limit
that was asked for. An archive covers all ids up to its newest tweet.
"""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, cast

from pydantic import Field, model_validator

from pipeline import documents, layout
from pipeline.documents import Document, Part, Stored
from pipeline.errors import UserError
from pipeline.store import Store

Id = Annotated[str, Field(pattern=r"^[0-9]+$")]


class Range(Part):
    """Ids whose tweets are all held: from `oldest` to `newest`, both included."""

    oldest: Id
    newest: Id


class SomebodyElses(UserError):
    """An account holds the tweets of somebody else."""


class Stranger(Part):
    """A user who was looked up by the handle of the stack file, and whose tweets these are not."""

    user_id: Id
    handle: str


class Index(Document):
    """Whose tweets these are, which of them are held, and how many came from the timeline."""

    version: int = 2
    user_id: Annotated[
        Id | None, Field(description="None if only an archive without it was imported")
    ] = None
    handle: str
    held: Annotated[list[Range], Field(description="the newest first; no two of them touch")] = (
        Field(default_factory=list[Range])
    )
    count: int = 0
    stranger: Annotated[
        Stranger | None, Field(description="kept, so that a look-up is not bought at every tick")
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, stored: Any) -> Any:
        """Version 1 had the cursor alone, which moved after everything below it was held."""
        if not isinstance(stored, dict) or "newest_id" not in stored:
            return cast("object", stored)
        index = dict(cast("dict[str, Any]", stored))
        newest = index.pop("newest_id")
        return index if newest is None else {"held": [{"oldest": "0", "newest": newest}], **index}

    @property
    def newest_id(self) -> str | None:
        """The newest id that is held; None if none is."""
        return self.held[0].newest if self.held else None

    def gaps(self) -> Iterator["Gap"]:
        """What is still to be collected, the newest first."""
        until: int | None = None
        for held in self.held:
            since = int(held.newest)
            if until is None or since + 1 < until:
                yield Gap(since, until)
            until = int(held.oldest)
        if until is None or until > 1:
            yield Gap(0, until)

    def holds(self, oldest: int, newest: int) -> bool:
        """Whether all ids from `oldest` to `newest` are held."""
        return any(int(held.oldest) <= oldest and newest <= int(held.newest) for held in self.held)

    def covering(self, oldest: int, newest: int, count: int = 0) -> "Index":
        """This index after the ids from `oldest` to `newest` were collected, `count` tweets."""
        ranges = [(int(held.oldest), int(held.newest)) for held in self.held]
        joined: list[tuple[int, int]] = []
        for low, high in sorted([*ranges, (oldest, newest)]):
            if joined and low <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(joined[-1][1], high))
            else:
                joined.append((low, high))
        held = [Range(oldest=str(low), newest=str(high)) for low, high in reversed(joined)]
        return self.model_copy(update={"held": held, "count": self.count + count})


class Gap(NamedTuple):
    """Ids that are not held: above `since` and below `until`; None is "the newest there is"."""

    since: int
    until: int | None


class Owner(NamedTuple):
    """Whose tweets are collected. A user's id stays when they change their handle."""

    user_id: str | None
    handle: str


def of(owner: Owner, index: Index | None, account: str) -> Index:
    """The index of an account whose tweets are `owner`'s; a new one if there is none.

    A person who changed their handle is recognised by their id.

    Raises:
        SomebodyElses: The account holds the tweets of somebody else.
    """
    if index is None:
        return Index(user_id=owner.user_id, handle=owner.handle)
    same = (
        index.user_id == owner.user_id
        if index.user_id and owner.user_id
        else index.handle.lower() == owner.handle.lower()
    )
    if not same:
        raise SomebodyElses(
            f"account {account} holds the tweets of {_name(index.user_id, index.handle)}, and these"
            f" are of {_name(owner.user_id, owner.handle)}; give them an account of their own, or"
            f" delete what {account} holds with `bots forget {account} --all`"
        )
    return index.model_copy(
        update={
            "user_id": index.user_id or owner.user_id,
            "handle": owner.handle,
            "stranger": None,
        }
    )


def _name(user_id: str | None, handle: str) -> str:
    return f"@{handle} (user id {user_id})" if user_id else f"@{handle}"


def read(store: Store, account: str) -> Stored[Index] | None:
    """The index and its generation; None before the first collection or import."""
    return documents.read(store, layout.index(account), Index)


def write(store: Store, account: str, index: Index, *, generation: int) -> int:
    """Replace that generation of the index; raises PreconditionFailed if it was replaced."""
    return documents.write(store, layout.index(account), index, generation)
