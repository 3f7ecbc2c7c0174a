"""The corpus: what was collected of an account, and which of its tweets are held out."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pipeline import forgotten, index, layout
from pipeline.store import Store
from pipeline.tweets import Tweet, from_jsonl, together


class Text(Protocol):
    """A tweet, or what is learnt of one."""

    @property
    def id(self) -> str: ...  # noqa: D102

    @property
    def text(self) -> str: ...  # noqa: D102


def held_out(tweet_id: str) -> bool:
    """Whether the tweet belongs to the tenth that no model ever trains on.

    The id alone decides, so the held-out set grows with the corpus and never loses a tweet.
    """
    return int.from_bytes(hashlib.sha256(tweet_id.encode()).digest()[:4]) % 10 == 0


def digest(tweets: Iterable[Text]) -> str:
    """The digest of a data set: the SHA-256, in hex, of its ids and texts in their order."""
    sha = hashlib.sha256()
    for tweet in tweets:
        sha.update(json.dumps([tweet.id, tweet.text]).encode() + b"\n")
    return sha.hexdigest()


@dataclass(frozen=True)
class Collected:
    """How much was collected of an account.

    Attributes:
        tweets: The number of tweets. A tweet that came from an archive and later from the timeline
            counts twice: to notice it, all tweets would have to be read.
        newest_id: The newest id that is held, from the timeline or an archive; None if none is.
    """

    tweets: int
    newest_id: str | None


def collected(store: Store, account: str) -> Collected:
    """Count an account's tweets by the timeline's index and the names of archive segments."""
    stored = index.read(store, account)
    timeline = stored.document if stored else None
    archives = store.names(layout.archive_segments(account))
    return Collected(
        tweets=(timeline.count if timeline else 0) + sum(map(layout.new_in_archive, archives)),
        newest_id=timeline and timeline.newest_id,
    )


def read(store: Store, account: str) -> list[Tweet]:
    """Read all tweets that were collected of an account, uncleaned, the oldest first.

    A tweet that several segments hold is one tweet, with all that is known of it. Tweets that were
    forgotten on request are left out, even if a segment brings one back.
    """
    tweets = (tweet for _, segment in segments(store, account) for tweet in segment)
    return forgotten.without(store, account, together(tweets))


def segments(store: Store, account: str) -> Iterator[tuple[str, list[Tweet]]]:
    """Yield the name and the tweets of each segment of an account, as they are stored."""
    for name in store.names(layout.segments(account)):
        segment = store.read(name)
        if segment is not None:
            yield name, from_jsonl(segment.data, name)
