"""Curates in one line, and declares accounts as the Pulumi program does."""

from typing import Any

from pipeline import documents, layout
from pipeline.curation import Curated, curate
from pipeline.curation.rule import Example
from pipeline.declared import Declared
from pipeline.learn import Learn
from pipeline.store import Store
from tests.pipeline.test_tweets import tweet


def learn(**keys: Any) -> Learn:
    return Learn.model_validate(keys)


def curated(*texts: str, posted: tuple[str, ...] = (), **keys: Any) -> Curated:
    """What becomes of these texts, the oldest first."""
    tweets = [tweet(id=str(number), text=text) for number, text in enumerate(texts, start=1)]
    return curate(tweets, learn(**keys), posted)


def clean(raw: str, *, replies: bool = True, **keys: Any) -> str | None:
    """What is learnt of a text; None if it is left out. Names before a text are dropped."""
    kept = curated(raw, replies=replies, **keys).kept
    return kept[0].text if kept else None


def shown(example: Example) -> tuple[str | None, str]:
    """What is learnt of an example's tweet, and "" or the reason why nothing is."""
    before = [tweet(id=str(number), text=text) for number, text in enumerate(example.after)]
    last = tweet(**{"id": "1000", "text": example.raw, **example.tweet})
    result = curate([*before, last], learn(**example.learn), example.posted)
    for one in result.dropped:
        if one.tweet is last:
            return None, one.reason
    return result.kept[-1].text, ""


def declare(data: Store, account: str, **keys: Any) -> None:
    """Write what the stack file says of an account."""
    document = Declared(time_zone="Etc/UTC", collect=None, post=None, learn=learn(**keys))
    data.write(layout.declared(account), documents.dump(document), generation=0)
