"""The figures of every account, and the stack's next ticks.

The number of objects that are read does not grow with an account's age. Counts come from names,
ledgers and the timeline's index. Only the newest releases and slots are read.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TypedDict

from bots.cloud import Cloud
from bots.releases import live_tag
from pipeline import corpus, index, last_collection, layout, prices, release, slots
from pipeline.last_collection import LastCollection
from pipeline.slots import Slot
from pipeline.spend import Ledger
from stacks import config

NEWEST_RELEASES = 5
NEWEST_SLOTS = 20


class ReleaseStatus(TypedDict):
    """`loss` is the int8 model's on the held-out set, in nats a token."""

    tag: str
    loss: float
    live: bool


class PostStatus(TypedDict):
    """`id` is null if X has the post but its response was lost."""

    slot: str
    text: str
    id: str | None
    release: str | None


class OpenSlot(TypedDict):
    """A slot without a post, or a slot of which it is unknown whether it has one."""

    slot: str
    state: str
    reason: str


class Collecting(TypedDict):
    """How collecting stands.

    `state` is what stops it, such as "limit reached", since when, and what mends it; null if
    nothing does. `back_fill_usd` is what the rest of the first collection costs at most; null if
    there is none.
    """

    last_success: str | None
    state: str | None
    since: str | None
    reason: str
    back_fill_usd: str | None


class AccountStatus(TypedDict):
    """An account's figures. Lists have the oldest first.

    `tweets` and `newest_id` are those of `pipeline.corpus.Collected`. `releases` are the newest and
    the live one; `releases_total` counts all. `posts` and `without_post` are of the newest slots.
    `reads` and `posts_bought` count all that was ever paid for; the dollars are this month's. `api`
    is the account's HTTP API: an address in the local cloud, the name of the Run service at Google,
    null if there is none. `collecting` is null if the account has no schedule for it.
    """

    tweets: int
    newest_id: str | None
    collecting: Collecting | None
    releases: list[ReleaseStatus]
    releases_total: int
    posts: list[PostStatus]
    without_post: list[OpenSlot]
    reads: int
    reads_usd: str
    posts_bought: int
    posts_usd: str
    api: str | None


class Tick(TypedDict):
    """`at` is in RFC 3339."""

    job: str
    at: str


class Status(TypedDict):
    """`resources` is null where only the engine knows the number."""

    stack: str
    accounts: dict[str, AccountStatus]
    resources: int | None
    next: list[Tick]


def gather(cloud: Cloud) -> Status:
    """Read the figures of the stack; changes nothing."""
    return {
        "stack": cloud.stack.name,
        "accounts": {
            name: _account(cloud.of(name), name, account)
            for name, account in cloud.stack.accounts.items()
        },
        "resources": cloud.local["resources"] if cloud.local else None,
        "next": cloud.local["ticks"] if cloud.local else _next_ticks(cloud.stack, cloud.now()),
    }


def _account(cloud: Cloud, name: str, account: config.Account) -> AccountStatus:
    collected = corpus.collected(cloud.data, name)
    tags = release.tags(cloud.models, name)
    records = _newest_records(cloud, name)
    reads = Ledger(cloud.data, layout.reads(name), account.reads_usd_per_month, cloud.now).spent()
    posts = Ledger(cloud.data, layout.spent(name), account.posts_usd_per_month, cloud.now).spent()
    return {
        "tweets": collected.tweets,
        "newest_id": collected.newest_id,
        "collecting": None if account.collect is None else _collecting(cloud, name, account),
        "releases": _releases(cloud, name, tags),
        "releases_total": len(tags),
        "posts": [
            {"slot": slot, "text": record.text or "", "id": record.id, "release": record.release}
            for slot, record in records
            if record.state == "posted"
        ],
        "without_post": [
            {"slot": slot, "state": record.state, "reason": record.reason}
            for slot, record in records
            if record.state != "posted"
        ],
        "reads": reads.total,
        "reads_usd": str(reads.usd),
        "posts_bought": posts.total,
        "posts_usd": str(posts.usd),
        "api": _api(cloud.stack, name) if account.serve is not None else None,
    }


def _collecting(cloud: Cloud, name: str, account: config.Account) -> Collecting:
    last = last_collection.read(cloud.data, name) or LastCollection()
    return {
        "last_success": last.at and last.at.isoformat(),
        "state": last.state,
        "since": last.since and last.since.isoformat(),
        "reason": last.reason,
        "back_fill_usd": _back_fill_usd(cloud, name, account),
    }


def _back_fill_usd(cloud: Cloud, name: str, account: config.Account) -> str | None:
    """What the rest of the back-fill costs at most; None if all that X shows is held."""
    stored = index.read(cloud.data, name)
    if stored and not any(gap.until for gap in stored.document.gaps()) and stored.document.held:
        return None
    left = prices.MOST_POSTS - (stored.document.count if stored else 0)
    return str(max(left, 0) * prices.post_read(account.read_with))


def _releases(cloud: Cloud, account: str, tags: list[str]) -> list[ReleaseStatus]:
    """The newest releases, and the live one, which may be older."""
    live = live_tag(cloud.models, account)
    wanted = [tag for tag in tags if tag == live or tag in tags[-NEWEST_RELEASES:]]
    return [
        {
            "tag": manifest.tag,
            "loss": manifest.loss.held_out_int8,
            "live": manifest.tag == live,
        }
        for manifest in release.readable(cloud.models, account, wanted)
    ]


def _api(stack: config.Stack, account: str) -> str:
    service = layout.service(stack.name, account)
    return f"{stack.emulator}/run/{service}/" if stack.emulator else f"service {service}"


def _newest_records(cloud: Cloud, account: str) -> list[tuple[str, Slot]]:
    names = slots.names(cloud.data, account)[-NEWEST_SLOTS:]
    return slots.read_each(cloud.data, account, names)


def _next_ticks(stack: config.Stack, now: datetime) -> list[Tick]:
    ticks = sorted((at, job) for job, at in _schedules(stack, now))
    return [{"job": job, "at": at.isoformat()} for at, job in ticks]


def _schedules(stack: config.Stack, now: datetime) -> Iterator[tuple[str, datetime]]:
    for name, account in stack.accounts.items():
        for role, cron in (("collect", account.collect), ("post", account.post)):
            if cron is not None:
                tick = next(slots.following(cron, account.time_zone, now))
                yield layout.job(stack.name, name, role), tick
