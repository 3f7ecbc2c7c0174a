"""Prints tables for the operator."""

import sys
from collections.abc import Iterable
from datetime import datetime

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bots.forget import Found
from bots.receipt import Place, Receipt, count
from bots.status import AccountStatus, Status
from pipeline.errors import UserError

_NEWEST_POSTS = 5


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table that fits any terminal; text in its cells is never read as markup.

    The first cell of a row names its subject and is never broken, so it can be copied. Other cells
    may break.
    """
    first, *others = columns
    grid = Table(
        Column(first, no_wrap=True),
        *(Column(other, overflow="fold") for other in others),
        title=title,
        title_justify="left",
    )
    for row in rows:
        grid.add_row(*map(Text, row))
    Console().print(grid)


def status(stack: Status) -> None:
    """Print the accounts, their newest posts, the slots without a post, and the next ticks."""
    accounts = stack["accounts"]
    table(
        f"stack {stack['stack']}",
        ("account", "tweets", "live release", "loss", "releases", "posts", "reads", "this month"),
        (_summary(name, account) for name, account in accounts.items()),
    )
    table(
        f"posts, the newest {_NEWEST_POSTS} of each account",
        ("account", "slot", "text", "id"),
        (
            (name, post["slot"], post["text"], post["id"] or "not known")
            for name, account in accounts.items()
            for post in account["posts"][: -_NEWEST_POSTS - 1 : -1]
        ),
    )
    without_post = [
        (name, slot["slot"], slot["state"], slot["reason"])
        for name, account in accounts.items()
        for slot in account["without_post"][: -_NEWEST_POSTS - 1 : -1]
    ]
    if without_post:
        table("slots without a certain post", ("account", "slot", "state", "reason"), without_post)
    stopped = [
        (name, found["state"], found["since"] or "", found["reason"])
        for name, account in accounts.items()
        if (found := account["collecting"]) and found["state"]
    ]
    if stopped:
        table("collecting has stopped", ("account", "state", "since", "reason"), stopped)
    unfinished = [
        (name, f"${found['back_fill_usd']}")
        for name, account in accounts.items()
        if (found := account["collecting"]) and found["back_fill_usd"]
    ]
    if unfinished:
        table("first collections to finish", ("account", "costs at most"), unfinished)
    apis = [(name, account["api"]) for name, account in accounts.items() if account["api"]]
    if apis:
        table("HTTP APIs", ("account", "address"), apis)
    table("next ticks", ("job", "at"), ((tick["job"], tick["at"]) for tick in stack["next"]))
    if stack["resources"] is not None:
        Console().print(f"{stack['resources']} resources")


def found(found: Found) -> None:
    """Print tweets and posts that somebody is about to forget."""
    table(
        "found",
        ("id", "kind", "at", "text"),
        [
            *((t.id, "tweet", f"{t.created_at:%Y-%m-%d %H:%M}", t.text) for t in found.tweets),
            *((name, "post", f"{s.at:%Y-%m-%d %H:%M}", s.text or "") for name, s in found.posts),
        ],
    )


def confirm(question: str) -> None:
    """Ask a person; raises UserError unless they agree."""
    if not sys.stdin.isatty():
        raise UserError("nobody can confirm this, because this is no terminal: add --yes")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise UserError("nothing was changed")


def receipt(receipt: Receipt) -> None:
    """Print what was deleted, what will be, and when."""
    table(
        f"forgotten of {receipt.account}: {count(receipt.tweets, 'tweet')}",
        ("gone for good", "store", "held", "now", "then"),
        (
            (_gone(place, receipt.at), place.store, place.held, place.now, place.then)
            for place in receipt.places
        ),
    )
    if receipt.not_held:
        listed = ", ".join(receipt.not_held)
        Console().print(f"not held, and left out if they ever come: {listed}", markup=False)


def _gone(place: Place, at: datetime) -> str:
    if place.gone is None:
        return "see then"
    return "now" if place.gone <= at else f"{place.gone:%Y-%m-%d}"


def _summary(name: str, account: AccountStatus) -> tuple[str, ...]:
    live = next((r for r in account["releases"] if r["live"]), None)
    return (
        name,
        str(account["tweets"]),
        live["tag"] if live else "none yet",
        f"{live['loss']:.3f}" if live else "",
        str(account["releases_total"]),
        str(account["posts_bought"]),
        str(account["reads"]),
        f"${account['reads_usd']} reads, ${account['posts_usd']} posts",
    )
