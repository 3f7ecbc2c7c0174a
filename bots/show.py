"""Prints what the operator asked for as tables."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bots.status import AccountStatus, Status

_NEWEST_POSTS = 5


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """One table; nothing in its cells is taken for markup, and no terminal is too narrow for it.

    What a row is about stands whole in its first cell, to be copied; other cells may break.
    """
    first, *others = columns
    made = Table(
        Column(first, no_wrap=True),
        *(Column(other, overflow="fold") for other in others),
        title=title,
        title_justify="left",
    )
    for row in rows:
        made.add_row(*map(Text, row))
    Console().print(made)


def status(found: Status) -> None:
    """The accounts, their newest posts, the slots without a post, the next ticks."""
    accounts = found["accounts"]
    table(
        f"stack {found['stack']}",
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
    without = [
        (name, slot["slot"], slot["state"], slot["reason"])
        for name, account in accounts.items()
        for slot in account["without_post"][: -_NEWEST_POSTS - 1 : -1]
    ]
    if without:
        table("slots without a certain post", ("account", "slot", "state", "reason"), without)
    apis = [(name, account["api"]) for name, account in accounts.items() if account["api"]]
    if apis:
        table("where texts can be asked for", ("account", "at"), apis)
    table("next ticks", ("job", "at"), ((tick["job"], tick["at"]) for tick in found["next"]))
    if found["resources"] is not None:
        Console().print(f"{found['resources']} resources")


def _summary(name: str, account: AccountStatus) -> tuple[str, ...]:
    live = next((r for r in account["releases"] if r["live"]), None)
    return (
        name,
        str(account["tweets"]),
        live["tag"] if live else "none yet",
        f"{live['loss']:.3f}" if live else "",
        str(len(account["releases"])),
        str(len(account["posts"])),
        str(account["reads"]),
        f"${account['reads_usd']} reads, ${account['posts_usd']} posts",
    )
