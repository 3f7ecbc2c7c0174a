"""The receipt of a deletion on request: every store that may hold a tweet, and when it holds none.

Dates follow from the stack file's `keep`. An object that is deleted with all of its versions is
soft-deleted at once, and gone for good after the bucket's period; nobody can shorten that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from bots.cloud import Cloud
from pipeline import layout, release, run_lease
from pipeline.documents import Document, Part
from pipeline.release import Manifest
from pipeline.slots import Slot
from stacks.config import OLD_IMAGE_DAYS

LONGEST = timedelta(minutes=30)
"""How long a deletion may take. The soft delete of its last object begins by then."""
_OLD_VERSION = timedelta(days=2)
"""How long an object that pruning deletes is an old version, before it is soft-deleted: a day by
the bucket's rule, and Google may act on the rule a day late."""
Chosen = Literal["ids", "match", "all", "archive"]
"""How the tweets were chosen."""


class Place(Part):
    """One store, and what becomes of what it held."""

    store: str
    held: str
    now: str
    gone: Annotated[
        datetime | None, Field(description="when the last copy is gone for good; None: see `then`")
    ] = None
    then: Annotated[
        str, Field(description="what is still to happen, or what somebody has to do")
    ] = ""


class Receipt(Document):
    """What was deleted, what will be and when; it contains no text."""

    account: str
    at: datetime
    by: str
    why: str
    chosen: Chosen
    tweets: Annotated[int, Field(description="how many tweets were deleted")]
    not_held: Annotated[
        list[str], Field(description="ids that were not held; they are left out if they ever come")
    ]
    places: list[Place]


@dataclass(frozen=True)
class Found:
    """What a deletion found in the stores."""

    tweets: int
    posts: list[Slot]
    marked: list[Manifest]
    unreadable: list[str]


def count(number: int, of: str) -> str:
    """A number of things, such as "1 tweet"."""
    return f"{number} {of}" if number == 1 else f"{number} {of}s"


def places(part: Cloud, account: str, chosen: Chosen, found: Found, at: datetime) -> list[Place]:
    """What became of every store, the buckets first."""
    return [
        _tweets(part, account, chosen, found.tweets, at),
        _posts(part, account, found.posts, at),
        *_releases(part, account, chosen, found, at),
        _images(part, account, found.marked, at),
        _machines(part, at),
        Place(
            store="logs",
            held="no tweet: the programs log none",
            now="nothing to delete",
            gone=at,
        ),
        _x(found.posts),
    ]


def _tweets(part: Cloud, account: str, chosen: Chosen, tweets: int, at: datetime) -> Place:
    then = ""
    if chosen == "all":
        then = "the ledger of reads and the ids stay"
        if part.stack.accounts[account].source == "timeline":
            then += (
                f"; remove {account} from the stack file, or give it another handle: otherwise the"
                " next collection buys the timeline again"
            )
    return Place(
        store=f"gs://{part.data.bucket_name}/{layout.tweets(account)}",
        held=f"{count(tweets, 'tweet')}, and older versions of their files",
        now="deleted, index and all" if chosen == "all" else "deleted; the ids stay, without texts",
        gone=_after_soft_delete(part, at),
        then=then,
    )


def _posts(part: Cloud, account: str, posts: list[Slot], at: datetime) -> Place:
    store = f"gs://{part.data.bucket_name}/{layout.posts(account)}"
    if not posts:
        return Place(store=store, held="none of it", now="nothing to delete", gone=at)
    return Place(
        store=store,
        held=f"{count(len(posts), 'post')} of the bot with the same text",
        now="texts deleted; digests stay, so that none is posted again",
        gone=_after_soft_delete(part, at),
    )


def _after_soft_delete(part: Cloud, at: datetime) -> datetime:
    return at + LONGEST + timedelta(days=part.stack.keep.tweets_days)


def _releases(
    part: Cloud, account: str, chosen: Chosen, found: Found, at: datetime
) -> Iterator[Place]:
    prefix = f"gs://{part.models.bucket_name}/{layout.releases(account)}"
    live = release.read_live(part.models, account)
    stored = part.models.names(layout.releases(account))
    days = part.stack.keep.models_days + _OLD_VERSION.days
    pruned = (
        f"a training prunes it, one at least {release.GRACE.days} days later deletes its weights,"
        f" and {days} days after that they are gone for good"
    )
    by_hand = (
        "without tweets no training replaces or prunes it: remove"
        f" {account} from the stack file, and delete this folder and the images by hand"
        " (docs/operating.md)"
    )
    replaced = (
        "the next training replaces it, from the base model, and so does"
        f" `bots promote {account}` of a release without a mark; then {pruned}"
    )
    for manifest in found.marked:
        is_live = live is not None and live.document.release == manifest.tag
        if not any(name.startswith(layout.weights(account, manifest.tag)) for name in stored):
            yield Place(
                store=f"{prefix}{manifest.tag}/",
                held="no weights any more",
                now="marked",
                gone=at + timedelta(days=days),
            )
            continue
        yield Place(
            store=f"{prefix}{manifest.tag}/",
            held="weights that learnt them, and hashes of their words; no text",
            now="marked; still live" if is_live else "marked: it can never go live",
            then=by_hand if chosen == "all" else replaced if is_live else pruned,
        )
    for tag in found.unreadable:
        yield Place(
            store=f"{prefix}{tag}/",
            held="not known: its manifest or the ids of its tweets cannot be read",
            now="not marked",
            then="update this program or repair the release, and run this command again",
        )
    if not found.marked and not found.unreadable:
        yield Place(store=prefix, held="no release learnt them", now="nothing to mark", gone=at)


def _images(part: Cloud, account: str, marked: list[Manifest], at: datetime) -> Place:
    stack = part.stack
    repository = f"{stack.region}-docker.pkg.dev/{stack.project}/{layout.repository(stack.name)}"
    store = f"{repository}/{account}"
    if not marked:
        return Place(store=store, held="none of it", now="nothing to delete", gone=at)
    return Place(
        store=store,
        held="copies of these weights and hashes; no text",
        now="unchanged",
        then="`live` moves once another release is live; an image is deleted once it is"
        f" {OLD_IMAGE_DAYS} days old and not among the newest {stack.keep.releases}",
    )


def _machines(part: Cloud, at: datetime) -> Place:
    store = "disks of training machines"
    run = run_lease.holder(part.models, at)
    if run is None:
        return Place(
            store=store, held="none: no run is under way", now="nothing to delete", gone=at
        )
    return Place(
        store=store,
        held=f"run {run} may have read them",
        now="unchanged",
        then="the disk goes with the machine; the run's release is marked when it is stored",
    )


def _x(posts: list[Slot]) -> Place:
    ids = ", ".join(slot.id for slot in posts if slot.id)
    return Place(
        store="X, and archives outside this stack",
        held=f"the tweets, and the bot's posts {ids}" if ids else "the tweets",
        now="unchanged: not this stack's to delete",
        then="delete them there; importing such an archive brings none back",
    )
