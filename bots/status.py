"""What there is and what happened: the figures of every account, and the stack's next ticks."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TypedDict

from bots.cloud import Cloud
from bots.releases import live_tag
from pipeline import corpus, layout, release, slots
from pipeline.slots import Slot
from pipeline.spend import Ledger
from stacks import config, naming


class ReleaseStatus(TypedDict):
    """`loss`: on the held-out set, in nats a token, as int8."""

    tag: str
    loss: float
    live: bool


class PostStatus(TypedDict):
    """`id` is null where X's answer was lost but X has the post."""

    slot: str
    text: str
    id: str | None
    release: str | None


class OpenSlot(TypedDict):
    """A slot without a post, or without a certain one."""

    slot: str
    state: str
    reason: str


class AccountStatus(TypedDict):
    """`reads` and `posts_bought` are all that were ever paid for, the dollars this month's.

    `api` is where texts can be asked for: an address of the local cloud, the name of the Run
    service at Google; null where the account has none.
    """

    tweets: int
    newest_id: str | None
    releases: list[ReleaseStatus]
    posts: list[PostStatus]
    without_post: list[OpenSlot]
    reads: int
    reads_usd: str
    posts_bought: int
    posts_usd: str
    api: str | None


class Tick(TypedDict):
    """`at` is RFC 3339."""

    job: str
    at: str


class Status(TypedDict):
    """`resources` is null where only the engine knows it."""

    stack: str
    accounts: dict[str, AccountStatus]
    resources: int | None
    next: list[Tick]


def gather(cloud: Cloud) -> Status:
    """Read it all; nothing is changed."""
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
    ids = {int(tweet.id) for tweet in corpus.read(cloud.data, name)}
    live = live_tag(cloud.models, name)
    records = _records(cloud, name)
    reads = Ledger(cloud.data, layout.reads(name), account.reads_usd_per_month, cloud.now).spent()
    posts = Ledger(cloud.data, layout.spent(name), account.posts_usd_per_month, cloud.now).spent()
    return {
        "tweets": len(ids),
        "newest_id": str(max(ids)) if ids else None,
        "releases": [
            {"tag": m.tag, "loss": m.loss.held_out_int8, "live": m.tag == live}
            for m in release.list_releases(cloud.models, name)
        ],
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


def _api(stack: config.Stack, account: str) -> str:
    service = naming.service(stack.name, account)
    return f"{stack.emulator}/run/{service}/" if stack.emulator else f"service {service}"


def _records(cloud: Cloud, account: str) -> list[tuple[str, Slot]]:
    names = slots.names(cloud.data, account)
    # Fewer at once than the connections that the client keeps.
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(partial(slots.read, cloud.data, account), names)
        return [(name, record[0]) for name, record in zip(names, found, strict=True) if record]


def _next_ticks(stack: config.Stack, now: datetime) -> list[Tick]:
    ticks = sorted((at, job) for job, at in _schedules(stack, now))
    return [{"job": job, "at": at.isoformat()} for at, job in ticks]


def _schedules(stack: config.Stack, now: datetime) -> Iterator[tuple[str, datetime]]:
    for name, account in stack.accounts.items():
        for role, cron in (("collect", account.collect), ("post", account.post)):
            if cron is not None:
                tick = next(slots.following(cron, account.time_zone, now))
                yield naming.job(stack.name, name, role), tick
