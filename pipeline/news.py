"""Decides whether an account has enough news to be trained.

The scheduled job asks before it makes a machine, and the trainer asks before it trains.
"""

from dataclasses import dataclass

from pipeline import corpus, declared, documents, history, layout, release
from pipeline.curation import Curated, curate
from pipeline.errors import UserError
from pipeline.learn import Learn
from pipeline.release import LivePointer, Manifest, TweetIds
from pipeline.runs import Outcome
from pipeline.settings import Settings
from pipeline.store import Store


@dataclass(frozen=True)
class News:
    """An account's tweets, compared with its live release.

    Attributes:
        curated: What is learnt of the tweets, and what is left out.
        learn: What of the account's tweets is learnt, as the stack file has it.
        before: The manifest of the live release; None before the first release.
        refusal: The reason not to train the account; None if it has enough news, or if the live
            release is to be replaced because it has learnt a tweet that was forgotten.
    """

    curated: Curated
    learn: Learn
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
    learn = _learn(data, account)
    curated = curate(corpus.read(data, account), learn, history.texts(data, account))
    ids = [tweet.id for tweet in curated.kept]
    held_out = sum(map(corpus.held_out, ids))
    if reason := too_few(len(ids), held_out, settings):
        return News(curated, learn, None, Outcome(outcome="refused", reason=reason))
    before = live and release.read_manifest(models, account, live.release)
    if before and before.learnt_forgotten is None:
        new = len({*ids} - _trained_on(models, before))
        same = settings.match(before.settings) and learn.match(before.learn)
        if reason := nothing_new(new, settings, same=same):
            return News(curated, learn, before, Outcome(outcome="skipped", reason=reason))
    return News(curated, learn, before, None)


def _learn(data: Store, account: str) -> Learn:
    """What of the account's tweets is learnt.

    Without it nothing is learnt, since the account may exclude tweets.
    """
    found = declared.read(data, account)
    if found is None:
        raise UserError(
            f"gs://{data.bucket_name}/{layout.declared(account)} is missing, so it is not known"
            f" what of the tweets of {account} may be learnt: run `pulumi up`"
        )
    return Learn.known(found.learn)


def too_few(tweets: int, held_out: int, settings: Settings) -> str | None:
    """Why a corpus is too small to train on or to judge by; None if it is large enough."""
    if tweets < settings.min_tweets:
        return f"{tweets} tweets, min_tweets is {settings.min_tweets}: collect more"
    if held_out == 0:
        return f"none of the {tweets} tweets falls into the held-out tenth: collect more"
    return None


def nothing_new(new: int, settings: Settings, *, same: bool) -> str | None:
    """Why training again would only repeat the live release; None if there is enough news.

    `same` says whether the live release was trained with the same settings.
    """
    if new < settings.min_new_tweets and same:
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
