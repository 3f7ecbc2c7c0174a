"""Shows what of an account's tweets is learnt, and what is left out and why."""

import random
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, zip_longest
from typing import TypedDict, TypeVar

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from pipeline import corpus, history
from pipeline.curation import Curated, Dropped, curate
from pipeline.curation.rules import RULES
from pipeline.errors import UserError
from pipeline.learn import Learn
from pipeline.store import Store

# The same tweets are shown each time.
_SEED = 1
_BAR = 20

T = TypeVar("T")


class Shown(TypedDict):
    """A tweet of the sample; `reason` is None if it is learnt."""

    id: str
    at: str
    reason: str | None
    text: str


class Figures(TypedDict):
    """How many tweets are learnt and left out, and a sample of either."""

    account: str
    tweets: int
    oldest: str
    newest: str
    learnt: int
    held_out: int
    dropped: dict[str, int]
    sample: list[Shown]


def gather(store: Store, account: str, learn: Learn, size: int, *, dropped: bool) -> Figures:
    """Curate an account's tweets as a training would, with a sample of at most `size` tweets.

    Raises:
        UserError: The account has no tweets.
    """
    tweets = corpus.read(store, account)
    if not tweets:
        raise UserError(
            f"account {account} has no tweets yet: collect its timeline, or import an archive with"
            f" `bots import {account} ARCHIVE.zip`"
        )
    curated = curate(tweets, learn, history.texts(store, account))
    return Figures(
        account=account,
        tweets=len(tweets),
        oldest=tweets[0].created_at.isoformat(),
        newest=tweets[-1].created_at.isoformat(),
        learnt=len(curated.kept),
        held_out=sum(corpus.held_out(tweet.id) for tweet in curated.kept),
        dropped=curated.reasons,
        sample=_dropped(curated, size) if dropped else _learnt(curated, size),
    )


def _learnt(curated: Curated, size: int) -> list[Shown]:
    chosen = sorted(_choose(range(len(curated.kept)), size))
    return [_shown(*curated.kept[place]) for place in chosen]


def _dropped(curated: Curated, size: int) -> list[Shown]:
    """A sample in which each reason has its turn, so that a rare one is seen, too."""
    by_reason: dict[str, list[Dropped]] = {rule.name: [] for rule in RULES}
    for one in curated.dropped:
        by_reason[one.reason].append(one)
    turns = zip_longest(*(_choose(them, size) for them in by_reason.values()))
    chosen = [one for one in chain.from_iterable(turns) if one is not None][:size]
    order = {name: place for place, name in enumerate(by_reason)}
    chosen.sort(key=lambda one: (order[one.reason], int(one.tweet.id)))
    return [_shown(t.id, t.text, t.created_at, reason) for t, reason in chosen]


def _choose(them: Sequence[T], size: int) -> list[T]:
    return random.Random(_SEED).sample(them, min(size, len(them)))


def _shown(id_: str, text: str, at: datetime, reason: str | None = None) -> Shown:
    return Shown(id=id_, at=at.isoformat(), reason=reason, text=text)


def show(figures: Figures) -> None:
    """Print the figures and the sample."""
    console = Console()
    days = f"{figures['oldest'][:10]} to {figures['newest'][:10]}"
    console.print(Text(f"{figures['account']}: {figures['tweets']} tweets, {days}", style="bold"))
    learnt, held_out = figures["learnt"], figures["held_out"]
    counts = Table(
        Column("what becomes of them", no_wrap=True),
        Column("tweets", justify="right", no_wrap=True),
        Column("share", justify="right", no_wrap=True),
        Column("", no_wrap=True),
    )
    for name, number in (("trained on", learnt - held_out), ("held out", held_out)):
        counts.add_row(*_count(name, number, figures["tweets"]), style="green")
    counts.add_section()
    for reason, number in figures["dropped"].items():
        counts.add_row(*_count(reason, number, figures["tweets"]))
    console.print(counts)
    if not figures["sample"]:
        return
    left_out = any(one["reason"] for one in figures["sample"])
    sample = Table(
        Column("reason" if left_out else "day", no_wrap=True),
        Column("text as collected" if left_out else "text", overflow="fold", ratio=1),
        title="a sample of what is left out" if left_out else "a sample of what is learnt",
        title_justify="left",
        show_lines=True,
        expand=True,
    )
    for one in figures["sample"]:
        sample.add_row(one["reason"] or one["at"][:10], Text(_printable(one["text"])))
    console.print(sample)


def _count(name: str, number: int, all_: int) -> Iterable[Text]:
    bar = "\u2588" * round(_BAR * number / all_)
    return map(Text, (name, str(number), f"{number / all_:.1%}", bar))


def _printable(text: str) -> str:
    """The text with an escape for each character that nobody sees, but for line breaks.

    Such a character could reverse the direction of the terminal, or hide what was left out.
    """
    return "".join(
        one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode()
        for one in text
    )
