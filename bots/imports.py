"""Imports the archive that X gives a person into an account's corpus."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from bots.receipt import count
from pipeline import corpus, documents, forgotten, index, layout
from pipeline.archive import Archive
from pipeline.archive.kept import Kept
from pipeline.errors import UserError
from pipeline.index import Index, Owner
from pipeline.store import PreconditionFailed, Store
from pipeline.tweets import Kind, Tweet, to_jsonl, together

_SEGMENT = 20_000  # tweets; about 5 MB
_SHOWN = 20
_KINDS: tuple[tuple[Kind | None, str], ...] = (
    ("post", "posts"),
    ("thread", "answers to oneself"),
    ("reply", "replies to others"),
    ("quote", "quotes"),
    (None, "of no known kind"),
)


@dataclass(frozen=True)
class Imported:
    """What an import stores, or would store.

    Attributes:
        archive: What was read.
        kinds: How many of its tweets are of each kind.
        times: The times of the oldest and the newest of them.
        held: How many tweets were held before.
        new: How many of the tweets were not held.
        improved: Of how many that were held the archive knows more.
        deleted: The ids of tweets that are held and were deleted on X, as the archive shows.
    """

    archive: Archive
    kinds: Counter[Kind | None]
    times: tuple[datetime, datetime]
    held: int
    new: int
    improved: int
    deleted: list[int]


def owner(text: str) -> Owner:
    """The owner that `HANDLE` or `HANDLE:ID` names; raises ValueError if it is neither."""
    handle, separator, user_id = text.removeprefix("@").partition(":")
    if not re.fullmatch(r"\w{1,20}", handle, re.ASCII) or (
        separator and not re.fullmatch(r"[0-9]{1,20}", user_id)
    ):
        raise ValueError(text)
    return Owner(user_id or None, handle)


def import_archive(
    store: Store, account: str, handle: str, read: Archive, *, dry_run: bool = False
) -> Imported:
    """Store what is new in an archive as segments, and note in the index that it is held.

    A segment is named after its content. Importing an archive again adds nothing, unless a better
    reader knows more of its tweets: that is stored beside what is held.

    Args:
        store: The data bucket.
        account: The account that learns from it.
        handle: The account's handle in the stack file.
        read: The archive.
        dry_run: Whether to store nothing.

    Raises:
        UserError: The archive has no tweets, or is of somebody else.
    """
    if not read.tweets:
        raise UserError(
            f"{read.label}: the archive has no tweets of @{read.owner.handle}, only retweets or"
            " none"
        )
    _claim(store, account, handle, read, dry_run=dry_run)
    held, gone = _held(store, account), forgotten.ids(store, account)
    counted = _Count()
    news = _news(read, held, gone, counted)
    while segment := list(islice(news, _SEGMENT)):
        if not dry_run:
            _write(store, account, segment, held)
    if read.newest is not None and not dry_run:
        _cover(store, account, read, read.newest)
    return Imported(
        archive=read,
        kinds=counted.kinds,
        times=(min(counted.times), max(counted.times)),
        held=len(held),
        new=counted.new,
        improved=counted.improved,
        deleted=[] if read.newest is None else [*_deleted(read, held, gone, read.newest)],
    )


def _claim(store: Store, account: str, handle: str, read: Archive, *, dry_run: bool) -> None:
    """Make the archive's owner the account's, before any of their tweets is stored.

    So two imports at once cannot store the tweets of two people.
    """

    def claimed(known: Index | None) -> Index:
        if not (known and known.user_id) and handle.lower() != read.owner.handle.lower():
            earlier = (
                f"; if it is @{handle}'s own, from before they changed their handle, add"
                f" `--owner {handle}:{read.owner.user_id}`"
            )
            raise UserError(
                f"{read.label} is the archive of @{read.owner.handle}, not of @{handle}; import it"
                f" for the account whose handle that is{earlier if read.owner.user_id else ''}"
            )
        return index.of(read.owner, known, account)

    if dry_run:
        claimed(documents.load(store, layout.index(account), Index))
    else:
        documents.update(store, layout.index(account), Index, claimed)


def _cover(store: Store, account: str, read: Archive, newest: int) -> None:
    """Note that all tweets up to the newest one of the archive are held."""

    def covered(known: Index | None) -> Index:
        return index.of(read.owner, known, account).covering(0, newest)

    documents.update(store, layout.index(account), Index, covered)


def _held(store: Store, account: str) -> Kept:
    """All tweets of an account that are held, on disk."""
    held = Kept()
    for _, tweets in corpus.segments(store, account):
        for tweet in tweets:
            held.add(tweet)
    return held


class _Count:
    """What an import has counted so far."""

    def __init__(self) -> None:
        self.kinds = Counter[Kind | None]()
        self.times: list[datetime] = []
        self.new = 0
        self.improved = 0

    def add(self, tweet: Tweet) -> None:
        self.kinds[tweet.kind] += 1
        times = [*self.times, tweet.created_at]
        self.times = [min(times), max(times)]


def _news(read: Archive, held: Kept, gone: AbstractSet[str], counted: _Count) -> Iterator[Tweet]:
    """Yield and count the archive's tweets of which more is known than of those that are held.

    Tweets in `gone` were forgotten on request, and stay so.
    """
    for tweet in read.tweets:
        counted.add(tweet)
        if forgotten.names(gone, tweet):
            continue
        known = held.get(int(tweet.id))
        if known is None:
            counted.new += 1
            yield tweet
        elif together([known, tweet]) != [known]:
            counted.improved += 1
            yield tweet


def _write(store: Store, account: str, tweets: list[Tweet], held: Kept) -> None:
    data = to_jsonl(tweets)
    digest = hashlib.sha256(data).hexdigest()
    new = sum(held.get(int(tweet.id)) is None for tweet in tweets)
    # Another import of the same archive may be faster.
    if not store.names(layout.archive_segments(account, digest)):
        with suppress(PreconditionFailed):
            store.write(layout.archive_segment(account, digest, new), data, generation=0)


def _deleted(read: Archive, held: Kept, gone: AbstractSet[str], newest: int) -> Iterator[int]:
    """Yield the ids that are held and that an archive of all tweets up to `newest` has not."""
    deleted = set(read.tweets.deleted())
    for tweet in held:
        if forgotten.names(gone, tweet):
            continue
        number = int(tweet.id)
        if number in deleted or (number <= newest and not read.tweets.saw(number)):
            yield number


def report(imported: Imported, *, dry_run: bool) -> Iterator[str]:
    """Yield the lines that tell what was imported, or would be."""
    read, owner = imported.archive, imported.archive.owner
    user = f" (user id {owner.user_id})" if owner.user_id else ""
    span = " to ".join(f"{at:%Y-%m-%d}" for at in imported.times)
    yield f"{read.label}: {count(len(read.tweets), 'tweet')} of @{owner.handle}{user}, from {span}"
    kinds = [f"{name} {imported.kinds[kind]}" for kind, name in _KINDS if imported.kinds[kind]]
    yield f"  by kind: {', '.join(kinds)}"
    yield f"  new: {imported.new}; better known than before: {imported.improved}"
    if read.retweets:
        yield f"  left out, the words of others: {count(read.retweets, 'retweet')}"
    for reason, left_out in sorted(read.left_out.items()):
        more = "; …" if left_out.count > len(left_out.places) else ""
        yield f"  left out, {reason}: {left_out.count} ({'; '.join(left_out.places)}{more})"
    for stray in read.stray:
        yield f"  not read: {stray}"
    for missing in read.missing:
        yield f"  missing: {missing}"
    if read.newest is None:
        yield "  it may lack tweets, so a timeline is still collected whole"
    else:
        yield f"  it has all tweets up to {read.newest}, so a timeline is collected from there on"
    if imported.deleted:
        ids = " ".join(map(str, imported.deleted[:_SHOWN]))
        more = " …" if len(imported.deleted) > _SHOWN else ""
        yield f"  deleted on X since, and so to be forgotten: {len(imported.deleted)} ({ids}{more})"
    if dry_run:
        yield "nothing was stored, as --dry-run asks"
