"""Lists what the made-up people's tweets hold, and what curation leaves out of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from demo.samples import people
from demo.samples.people import PEOPLE
from demo.samples.sample import ODDITIES, Oddity, Sample
from pipeline.curation import curate
from pipeline.curation.rules import RULES
from pipeline.learn import Learn
from pipeline.tweets import Kind

COUNT = 600

_KINDS: Mapping[Kind, str] = {
    "post": "a tweet of its own",
    "thread": "an answer to oneself",
    "reply": "an answer to somebody else",
    "quote": "a tweet with another tweet below it",
    "retweet": "somebody else's tweet",
}


def of(count: int = COUNT, seed: int = 7) -> str:
    """Returns a table in Markdown: how many tweets of each person are of each kind and oddity."""
    written = [people.samples(person, count, seed) for person in PEOPLE]
    return "".join(
        (
            _row("", ("", *PEOPLE)),
            _row("---", ("---", *["---:"] * len(PEOPLE))),
            *_counts(_KINDS, written, lambda sample: [sample.kind]),
            *_counts(ODDITIES, written, lambda sample: sample.oddities),
        )
    )


def left_out(count: int = COUNT, seed: int = 7) -> str:
    """Returns a table in Markdown: how many tweets of each person curation leaves out, by rule."""
    curated = [curate(people.tweets(person, count, seed), Learn()) for person in PEOPLE]
    rules = [rule.name for rule in RULES if any(rule.name in one.reasons for one in curated)]
    return "".join(
        (
            _row("", PEOPLE),
            _row("---", ["---:"] * len(PEOPLE)),
            *(_row(name, [str(one.reasons.get(name, 0)) for one in curated]) for name in rules),
            _row("**learnt**", [str(len(one.kept)) for one in curated]),
        )
    )


def _counts(
    labels: Mapping[Kind, str] | Mapping[Oddity, str],
    written: Sequence[Sequence[Sample]],
    label: Callable[[Sample], Iterable[str]],
) -> list[str]:
    counters = [Counter(found for one in samples for found in label(one)) for samples in written]
    return [
        _row(found, (what, *(str(counter[found]) for counter in counters)))
        for found, what in labels.items()
    ]


def _row(first: str, others: Iterable[str]) -> str:
    return f"| {' | '.join((first, *others))} |\n"
