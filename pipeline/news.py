"""Decides whether an account has enough news to be trained.

The scheduled job asks before it makes a machine, and the trainer asks before it trains.
"""

from dataclasses import dataclass

from pipeline import corpus, documents, history, layout, release
from pipeline.errors import UserError
from pipeline.release import LivePointer, Manifest, TweetIds
from pipeline.runs import Outcome
from pipeline.settings import Settings, StoredSettings
from pipeline.store import Store
from pipeline.tweets import Tweet


@dataclass(frozen=True)
class News:
    """An account's tweets, compared with its live release.

    Attributes:
        tweets: The account's corpus, without the bot's own posts.
        before: The manifest of the live release; None before the first release.
        refusal: The reason not to train the account; None if it has enough news.
    """

    tweets: list[Tweet]
    before: Manifest | None
    refusal: Outcome | None


def accounts(models: Store) -> list[str]:
    """The declared accounts: the Pulumi program writes a base pointer for each."""
    prefix = layout.all_base_pointers()
    names = models.names(prefix)
    return [name.removeprefix(prefix).removesuffix(".json") for name in names]


def assess(
    data: Store, models: Store, account: str, live: LivePointer | None, settings: Settings
) -> News:
    """Compare an account's tweets with its live release.

    Raises:
        PipelineError: The tweets or the live release cannot be read.
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
    """Why a corpus is too small to train on or to judge by; None if it is large enough."""
    if tweets < settings.min_tweets:
        return f"{tweets} tweets, min_tweets is {settings.min_tweets}: collect more"
    if held_out == 0:
        return f"none of the {tweets} tweets falls into the held-out tenth: collect more"
    return None


def nothing_new(new: int, settings: Settings, live_settings: StoredSettings) -> str | None:
    """Why training again would only repeat the live release; None if there is enough news."""
    if new < settings.min_new_tweets and settings.match(live_settings):
        return (
            f"{new} new tweets since the live release, min_new_tweets is {settings.min_new_tweets}"
        )
    return None


def _trained_on(models: Store, before: Manifest) -> set[str]:
    name = layout.release(before.account, before.tag) + release.DATASET
    ids = documents.load(models, name, TweetIds)
    if ids is None:
        raise UserError(
            f"gs://{models.bucket_name}/{name} is missing; restore an earlier version of the object"
        )
    return {*ids.train, *ids.held_out}
