"""What a rule of curation is: a name, a sentence, examples, and what it does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.learn import Learn
from pipeline.tweets import Tweet

Step = Callable[[Tweet, str], str | None]
"""Takes a tweet and what is left of its text; returns the new text, or None to leave it out."""


@dataclass(frozen=True)
class Given:
    """What the rules of one curation are made from.

    Attributes:
        learn: The account's settings.
        outdated: Ids of tweets of which a later version is held.
        posted: What the bot posted, each as `similar.skeleton` of its clean text.
    """

    learn: Learn
    outdated: frozenset[str] = frozenset()
    posted: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Example:
    """A tweet, and what is learnt of it.

    Attributes:
        raw: The tweet's text.
        learnt: The text that is learnt; None if the tweet is left out.
        after: The texts of the tweets before it.
        learn: Settings that differ from the defaults.
        tweet: What else the tweet has, such as its kind.
        posted: What the bot posted.
    """

    raw: str
    learnt: str | None
    after: tuple[str, ...] = ()
    learn: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tweet: Mapping[str, Any] = field(default_factory=dict[str, Any])
    posted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: The reason under which left out tweets are counted.
        says: What the rule does, in a sentence.
        examples: Tweets and what is learnt of them; a test checks each.
        begin: Makes the step for one curation; None if the settings switch the rule off.
        key: The key of `learn:` that governs the rule; empty if none does.
    """

    name: str
    says: str
    examples: tuple[Example, ...]
    begin: Callable[[Given], Step | None]
    key: str = ""
