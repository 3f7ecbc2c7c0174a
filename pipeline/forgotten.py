"""Which tweets of an account were forgotten on request. They are known by id; no text is kept.

A forgotten tweet never comes back: it is left out wherever tweets are stored or read. An edited
tweet has an id for each version, so it is forgotten as soon as one of them is.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Annotated

from pydantic import Field

from pipeline import documents, layout
from pipeline.documents import Document, Part
from pipeline.store import Store
from pipeline.tweets import Id, Tweet


class Entry(Part):
    """The tweets that one request named."""

    ids: list[Id]
    at: datetime
    why: str
    by: Annotated[str, Field(description="who asked for it, such as `operator ada`")]


class Forgotten(Document):
    """All requests, the oldest first. An id may be in several, and need never have been held."""

    entries: list[Entry]


def ids(store: Store, account: str) -> frozenset[str]:
    """The ids of all forgotten tweets of an account."""
    stored = documents.load(store, layout.forgotten(account), Forgotten)
    return frozenset(id_ for entry in (stored.entries if stored else ()) for id_ in entry.ids)


def remember(store: Store, account: str, entry: Entry) -> None:
    """Add a request. From then on its tweets are left out."""

    def add(stored: Forgotten | None) -> Forgotten:
        if stored is None:
            return Forgotten(entries=[entry])
        return stored.model_copy(update={"entries": [*stored.entries, entry]})

    documents.update(store, layout.forgotten(account), Forgotten, add)


def names(gone: AbstractSet[str], tweet: Tweet) -> bool:
    """Whether any version of the tweet is among these ids."""
    return tweet.id in gone or not gone.isdisjoint(tweet.edits)


def without(store: Store, account: str, tweets: Iterable[Tweet]) -> list[Tweet]:
    """The tweets that are not forgotten."""
    gone = ids(store, account)
    return [tweet for tweet in tweets if not names(gone, tweet)]


def blanked(gone: AbstractSet[str], tweets: Iterable[Tweet]) -> list[Tweet]:
    """The same tweets; of those in `gone`, nothing but what the id tells anyway.

    A page keeps its ids. So the collector still knows which ids the page covers, and does not buy
    it again.
    """
    return [_blank(tweet) if names(gone, tweet) else tweet for tweet in tweets]


def _blank(tweet: Tweet) -> Tweet:
    return Tweet(id=tweet.id, text="", created_at=tweet.created_at, source=tweet.source)
