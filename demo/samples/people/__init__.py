"""Six made-up people, of other kinds than the demo's two, with the oddities that real people have.

No word of theirs is anybody's: the grammars beside this file are all that they can say. Names,
links, e-mail addresses and telephone numbers are ones that nobody can have.
"""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from demo.samples.layouts import MADE, Layout
from demo.samples.people.person import PEOPLE
from demo.samples.people.writer import Writer
from demo.samples.sample import Sample
from pipeline.tweets import Tweet

SINCE = datetime(2024, 1, 1, tzinfo=UTC)


def samples(person: str, count: int = 600, seed: int = 7, since: datetime = SINCE) -> list[Sample]:
    """Returns `count` distinct tweets, the oldest first; a larger `count` adds newer ones.

    They are about four hours apart. The first is somewhat later than `since`.
    """
    return list(islice(Writer(PEOPLE[person], seed, since).samples(), count))


def tweets(person: str, count: int = 600, seed: int = 7, since: datetime = SINCE) -> list[Tweet]:
    """Returns what a perfect reader of the person's archive knows of the same tweets."""
    return [sample.tweet() for sample in samples(person, count, seed, since)]


def since(layout: Layout, count: int) -> datetime:
    """Returns when to begin for `count` tweets to end about when X made archives of `layout`."""
    return MADE[layout] - timedelta(hours=3.6) * count


def two_archives(
    samples: Sequence[Sample], seed: int = 7
) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Returns what two archives of one person have, and what was deleted between them.

    The first has three quarters of the tweets. The second has those that are left of them, about
    nine tenths, and the newer ones.
    """
    rng = random.Random(f"deleted-{seed}")
    earlier, newer = samples[: len(samples) * 3 // 4], samples[len(samples) * 3 // 4 :]
    gone = [sample for sample in earlier if rng.randrange(10) == 0]
    ids = {sample.id for sample in gone}
    return list(earlier), [s for s in earlier if s.id not in ids] + list(newer), gone
