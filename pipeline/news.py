"""Whether an account has enough news to be trained.

The scheduled job asks it before it makes a machine, and the trainer before it trains: the same code
decides for both.
"""

import json
from dataclasses import dataclass

from pipeline import corpus, history, layout, release
from pipeline.errors import UserError
from pipeline.release import LivePointer, Manifest
from pipeline.runs import Outcome
from pipeline.settings import Settings
from pipeline.store import Store
from pipeline.tweets import Tweet


@dataclass(frozen=True)
class News:
    """What an account could be trained on.

    Attributes:
        tweets: Its corpus, without the bot's own posts.
        before: The manifest of its live release; None before the first release.
        refusal: Why training it would be no use; None if it has enough news.
    """

    tweets: list[Tweet]
    before: Manifest | None
    refusal: Outcome | None


def accounts(models: Store) -> list[str]:
    """The declared accounts: each has a base pointer, which the Pulumi program alone writes."""
    prefix = layout.base_pointer("").removesuffix(".json")
    names = models.names(prefix)
    return [name.removeprefix(prefix).removesuffix(".json") for name in names]


def look(
    data: Store, models: Store, account: str, live: LivePointer | None, settings: Settings
) -> News:
    """Compare an account's tweets with its live release.

    Raises:
        UserError: What was collected or released of it cannot be read.
    """
    tweets = corpus.without(corpus.corpus(corpus.read(data, account)), history.texts(data, account))
    held_out = sum(corpus.held_out(tweet.id) for tweet in tweets)
    if reason := too_few(len(tweets), held_out, settings):
        return News(tweets, None, Outcome(outcome="refused", reason=reason))
    before = live and release.read_manifest(models, account, live.release)
    if before:
        new = len({tweet.id for tweet in tweets} - _trained_on(models, before))
        if reason := nothing_new(new, settings, before.settings):
            return News(tweets, before, Outcome(outcome="skipped", reason=reason))
    return News(tweets, before, None)


def too_few(tweets: int, held_out: int, settings: Settings) -> str | None:
    """Why a corpus is too small to train on and to judge by, or None."""
    if tweets < settings.min_tweets:
        return f"{tweets} tweets, min_tweets asks for {settings.min_tweets}: collect more"
    if held_out == 0:
        return f"none of the {tweets} tweets falls into the held-out tenth: collect more"
    return None


def nothing_new(new: int, settings: Settings, live_settings: Settings) -> str | None:
    """Why training again would only repeat the live release, or None."""
    if new < settings.min_new_tweets and settings == live_settings:
        return (
            f"{new} new tweets since the live release, min_new_tweets is {settings.min_new_tweets}"
        )
    return None


def _trained_on(models: Store, before: Manifest) -> set[str]:
    name = layout.release(before.account, before.tag) + release.DATASET
    found = models.read(name)
    if found is None:
        raise UserError(f"object {name} is missing: restore its last version")
    dataset: dict[str, list[str]] = json.loads(found.data)
    return {*dataset["train"], *dataset["held_out"]}
