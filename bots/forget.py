"""Forgets tweets on request: deletes them wherever the stack holds them, and writes a receipt.

Nothing is half done after an interruption. The ids are remembered first, and from then on no
program uses or stores these tweets; the same command again deletes what is left of them.
"""

import re
import secrets
import unicodedata
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from html import unescape

from bots import receipt as receipts
from bots.cloud import Cloud
from bots.imports import Imported
from bots.receipt import LONGEST, Chosen, Receipt, count
from pipeline import (
    corpus,
    documents,
    forgotten,
    history,
    layout,
    learnt,
    lease,
    slots,
)
from pipeline.errors import UserError
from pipeline.lease import Busy, Terms
from pipeline.slots import Slot
from pipeline.store import PreconditionFailed, Store
from pipeline.tweets import Tweet, from_jsonl, to_jsonl

# Links and leading mentions: a bot posts neither.
_NOT_POSTED = re.compile(r"https?://\S+|^(?:\.?@\w+\s+)+")


@dataclass(frozen=True)
class Request:
    """Which tweets to forget, why, and who asks."""

    chosen: Chosen
    why: str
    by: str
    ids: frozenset[str] = frozenset()
    text: str = ""

    def __post_init__(self) -> None:
        """Raises UserError for what is no id, and for a reason that holds the text."""
        for id_ in self.ids:
            if not re.fullmatch("[0-9]{1,20}", id_):
                raise UserError(
                    f"{id_!r} is not the id of a tweet, which is a number: it ends the tweet's"
                    " address"
                )
        if self.chosen == "match" and not _plain(self.text):
            raise UserError("--match needs a text that is not empty")
        if self.text and _holds(self.why, self.text):
            raise UserError("--why is kept, so it must not hold the text that is to be forgotten")


@dataclass(frozen=True)
class Found:
    """Tweets and posts that hold a text."""

    tweets: list[Tweet]
    posts: list[tuple[str, Slot]]

    @property
    def extent(self) -> str:
        """How much it is, such as "1 tweet and 2 posts"."""
        return f"{count(len(self.tweets), 'tweet')} and {count(len(self.posts), 'post')}"


def find(part: Cloud, account: str, text: str) -> Found:
    """The tweets and posts that hold a text; case, spaces and HTML's escapes make no difference.

    Raises:
        UserError: Nothing holds it.
    """
    found = Found(
        [tweet for tweet in corpus.read(part.data, account) if _holds(tweet.text, text)],
        [
            (name, slot)
            for name, slot in slots.read_each(part.data, account, slots.names(part.data, account))
            if slot.text and _holds(slot.text, text)
        ],
    )
    if not found.tweets and not found.posts:
        raise UserError(f"no tweet or post of {account} holds {text!r}: nothing was changed")
    return found


def forget_deleted(part: Cloud, account: str, imported: Imported, by: str) -> Receipt:
    """Forget what was deleted at X, as a newer archive shows.

    Raises:
        UserError: That is more than half of what is held, so the archive may not be whole.
    """
    deleted, archive = len(imported.deleted), imported.archive.label
    if deleted > imported.held / 2:
        raise UserError(
            f"{archive} lacks {deleted} of the {count(imported.held, 'tweet')} that were held: none"
            " was forgotten; see whether the archive is whole, and delete what was deleted at X"
            f" with `bots forget {account} ID…`"
        )
    why = f"deleted at X, learnt from {archive}"
    ids = frozenset(map(str, imported.deleted))
    return forget(part, account, Request("archive", why, by, ids))


def forget(part: Cloud, account: str, request: Request) -> Receipt:
    """Forget the tweets, and store and return the receipt.

    Raises:
        UserError: Tweets of the account are being collected, or an object cannot be read.
    """
    with _nobody_collects(part, account):
        return _forget(part, account, request)


def _forget(part: Cloud, account: str, request: Request) -> Receipt:
    data, at = part.data, part.now()
    segments = dict(corpus.segments(data, account))
    every = [tweet for tweets in segments.values() for tweet in tweets]
    ids = _all_versions(
        {tweet.id for tweet in every} if request.chosen == "all" else request.ids, every
    )
    gone = {tweet.id: tweet for tweet in every if tweet.text and forgotten.names(ids, tweet)}
    entry = forgotten.Entry(ids=sorted(ids, key=int), at=at, why=request.why, by=request.by)
    if ids:
        forgotten.remember(data, account, entry)

    # Posts are found by the texts of the tweets, so the tweets go last.
    posts = _forget_posts(data, account, _is_forgotten(every, ids, request.text), at)
    if request.chosen == "all":
        _delete_all(data, account)
    else:
        _blank_segments(data, segments, ids)
    _erase_old_versions(data, account)
    marked, unreadable = learnt.check_all(data, part.models, account, at)

    found = receipts.Found(len(gone), posts, marked, unreadable)
    receipt = Receipt(
        account=account,
        at=at,
        by=request.by,
        why=request.why,
        chosen=request.chosen,
        tweets=len(gone),
        not_held=sorted(request.ids - {tweet.id for tweet in every}, key=int),
        places=receipts.places(part, account, request.chosen, found, at),
    )
    name = layout.receipt(account, at, secrets.token_hex(4))
    documents.write(data, name, receipt, generation=0)
    return receipt


# Which tweets


def _plain(text: str) -> str:
    """A text as it is compared with others."""
    return " ".join(unicodedata.normalize("NFKC", unescape(text)).casefold().split())


def _holds(text: str, part: str) -> bool:
    return _plain(part) in _plain(text)


def _all_versions(ids: Iterable[str], tweets: Collection[Tweet]) -> frozenset[str]:
    """The ids, with those of all other versions of the same tweets."""
    wanted = frozenset(ids)
    while True:
        hit = [tweet for tweet in tweets if forgotten.names(wanted, tweet)]
        more = wanted.union(*({tweet.id, *tweet.edits} for tweet in hit))
        if more == wanted:
            return wanted
        wanted = more


def _is_forgotten(
    tweets: Iterable[Tweet], ids: AbstractSet[str], text: str
) -> Callable[[str], bool]:
    """Whether a post is to be forgotten: it equals a forgotten tweet, or holds the given text."""
    gone = {
        history.digest(written)
        for tweet in tweets
        if forgotten.names(ids, tweet)
        for written in (tweet.text, _NOT_POSTED.sub(" ", unescape(tweet.text)))
        if tweet.text
    }
    return lambda post: history.digest(post) in gone or bool(text and _holds(post, text))


# Deleting


@contextmanager
def _nobody_collects(part: Cloud, account: str) -> Generator[None]:
    """Hold the lease of collecting; raises UserError if somebody collects."""
    name, now = layout.collecting(account), part.now()
    mine = Terms(run=f"forget-{secrets.token_hex(4)}", expires=now + LONGEST, by="operator")
    try:
        lease.take(part.data, name, mine, now)
    except Busy as error:
        raise UserError(f"{error}: nothing was changed; forget once that has ended") from None
    try:
        yield
    finally:
        lease.release(part.data, name, mine.run, mine.by)


def _blank_segments(
    store: Store, segments: Mapping[str, list[Tweet]], ids: AbstractSet[str]
) -> None:
    for name, tweets in segments.items():
        if forgotten.blanked(ids, tweets) != tweets:
            _blank_segment(store, name, ids)


def _blank_segment(store: Store, name: str, ids: AbstractSet[str]) -> None:
    while (segment := store.read(name)) is not None:
        blanked = forgotten.blanked(ids, from_jsonl(segment.data, name))
        try:
            store.write(name, to_jsonl(blanked), generation=segment.generation)
        except PreconditionFailed:
            continue
        return


def _delete_all(store: Store, account: str) -> None:
    """Delete segments and index. The ledger of reads stays: the money is spent."""
    for prefix in (layout.segments(account), layout.index(account)):
        for name, generation, _ in store.versions(prefix):
            store.erase(name, generation)


def _erase_old_versions(store: Store, account: str) -> None:
    """Delete what was replaced. Otherwise it would stay a day before it is soft-deleted."""
    for prefix in (layout.segments(account), layout.posts(account)):
        for name, generation, live in store.versions(prefix):
            if not live:
                store.erase(name, generation)


def _forget_posts(
    store: Store, account: str, is_forgotten: Callable[[str], bool], at: datetime
) -> list[Slot]:
    """Delete the texts of these posts; returns their records as they were."""
    history.forget(store, account, is_forgotten)
    found = [
        (name, slot)
        for name, slot in slots.read_each(store, account, slots.names(store, account))
        if slot.text and is_forgotten(slot.text)
    ]
    for name, _ in found:
        documents.update(store, layout.slot(account, name), Slot, partial(_without_text, at=at))
    return [slot for _, slot in found]


def _without_text(slot: Slot | None, at: datetime) -> Slot:
    """The record without its text. What was not posted yet never is."""
    if slot is None:
        raise UserError("the record of a slot was deleted meanwhile: run it again")
    state = slot.state
    if state in ("claimed", "refused"):
        state = "unknown" if slot.in_doubt else "nothing"
    elif state == "intended":
        state = "unknown"
    return slot.model_copy(
        update={
            "state": state,
            "text": None,
            "at": at,
            "reason": "its text was forgotten on request",
        }
    )
