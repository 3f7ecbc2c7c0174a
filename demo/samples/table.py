"""Lists what the made-up people's tweets hold."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from demo.samples import people
from demo.samples.people import PEOPLE
from demo.samples.sample import ODDITIES, Oddity, Sample
from pipeline.tweets import Kind, Tweet

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


def dropped(
    reasons: Callable[[list[Tweet]], Mapping[str, int]], count: int = COUNT, seed: int = 7
) -> str:
    """Returns a table in Markdown: how many tweets of each person are left out, by reason.

    `reasons` counts them for the tweets of one person.
    """
    counts = {person: reasons(people.tweets(person, count, seed)) for person in PEOPLE}
    named = dict.fromkeys(reason for found in counts.values() for reason in found)
    return "".join(
        (
            _row("", PEOPLE),
            _row("---", ["---:"] * len(PEOPLE)),
            *(_row(name, [str(counts[one].get(name, 0)) for one in PEOPLE]) for name in named),
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
