"""Prints tables for the operator."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bots.status import AccountStatus, Status

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
