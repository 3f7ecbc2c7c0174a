"""Curation: what of the collected tweets is learnt, by one list of rules for every source.

A tweet's fate depends on itself, on older tweets and on what the bot posted. Newer tweets change it
in one case: a later version of an edited tweet takes the place of an earlier one. A text that is
collected late, such as an older tweet from an archive, can make a newer one its duplicate.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from pipeline.curation import similar, text
from pipeline.curation.rule import Given, Rule, Step
from pipeline.curation.rules import ABOUT_THE_REST, ABOUT_THE_TEXT, ABOUT_THE_TWEET, RULES
from pipeline.learn import Learn, StoredLearn
from pipeline.tweets import Tweet

# Each repetition takes something away, so a text that still changes after these is a rule's fault.
_REPETITIONS = 20

# As what the bot's own posts are cleaned.
_POST = Tweet(
    id="0", text="", created_at=datetime.fromtimestamp(0, UTC), source="timeline", kind="thread"
)

Named = tuple[str, Step]
"""A rule's name and its step."""


class Kept(NamedTuple):
    """A tweet that is learnt; `text` is clean."""

    id: str
    text: str
    created_at: datetime


class Dropped(NamedTuple):
    """A tweet that is left out, and the name of the rule that left it out."""

    tweet: Tweet
    reason: str


@dataclass(frozen=True)
class Curated:
    """All tweets of an account, the oldest first: those that are learnt, and the others."""

    kept: list[Kept]
    dropped: list[Dropped]

    @property
    def reasons(self) -> dict[str, int]:
        """How many were left out for each reason, in the rules' order."""
        counts = Counter(reason for _, reason in self.dropped)
        return {rule.name: counts[rule.name] for rule in RULES if rule.name in counts}


def curate(tweets: Iterable[Tweet], learn: StoredLearn, posted: Iterable[str] = ()) -> Curated:
    """Decide what is learnt of these tweets; `posted` is what the bot posted.

    Each tweet is either kept or dropped. Threads stay in their order, since ids grow with time.
    """
    ordered = sorted(tweets, key=lambda tweet: int(tweet.id))
    kept: list[Kept] = []
    dropped: list[Dropped] = []
    for decided in decide(ordered, learn, posted, _outdated(ordered)):
        if isinstance(decided, Kept):
            kept.append(decided)
        else:
            dropped.append(decided)
    return Curated(kept, dropped)


def decide(
    tweets: Iterable[Tweet],
    learn: StoredLearn,
    posted: Iterable[str] = (),
    outdated: Iterable[str] = (),
) -> Iterator[Kept | Dropped]:
    """Decide about tweets one by one, the oldest first; reads no tweet ahead.

    `outdated` has the ids of tweets of which a later version is held.
    """
    known = Learn.known(learn)
    edits = _begin(ABOUT_THE_TEXT, Given(known))
    own = frozenset(
        similar.skeleton(clean)
        for clean in (_edit(_POST, text.decoded(one), edits)[0] for one in posted)
        if clean
    )
    given = Given(known, frozenset(outdated), own)
    about_the_tweet = _begin(ABOUT_THE_TWEET, given)
    about_the_rest = _begin(ABOUT_THE_REST, given)
    for tweet in tweets:
        yield _decide(tweet, about_the_tweet, edits, about_the_rest)


def _begin(rules: Iterable[Rule], given: Given) -> list[Named]:
    begun = ((rule.name, rule.begin(given)) for rule in rules)
    return [(name, step) for name, step in begun if step is not None]


def _outdated(tweets: Iterable[Tweet]) -> set[str]:
    """The ids of earlier versions of these tweets."""
    return {id_ for tweet in tweets for id_ in tweet.edits if int(id_) < int(tweet.id)}


def _decide(
    tweet: Tweet, about_the_tweet: list[Named], edits: list[Named], about_the_rest: list[Named]
) -> Kept | Dropped:
    left = text.decoded(tweet.text)
    for name, step in about_the_tweet:
        if step(tweet, left) is None:
            return Dropped(tweet, name)
    left, reason = _edit(tweet, left, edits)
    if reason:
        return Dropped(tweet, reason)
    for name, step in about_the_rest:
        if step(tweet, left) is None:
            return Dropped(tweet, name)
    return Kept(tweet.id, left, tweet.created_at)


def _edit(tweet: Tweet, left: str, edits: list[Named]) -> tuple[str, str]:
    """The clean text, and "" or the name of the rule that left nothing of it."""
    for _ in range(_REPETITIONS):
        before = left
        for name, step in edits:
            changed = step(tweet, left)
            if changed is not left:
                if changed is None or not changed.strip():
                    return "", name
                left = changed
        if left == before:
            break
    return left, ""
