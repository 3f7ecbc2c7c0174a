"""Which releases have learnt tweets that were forgotten on request.

Two rules let none slip through while a training is under way. Forgetting remembers the ids and then
looks for releases. A training stores its release and then reads the ids. So one notices the other.
"""

from collections.abc import Set as AbstractSet
from datetime import datetime

from pipeline import documents, forgotten, layout, release
from pipeline.documents import Unreadable
from pipeline.release import Manifest, TweetIds
from pipeline.store import Store


def check(data: Store, models: Store, manifest: Manifest, at: datetime) -> Manifest:
    """Mark one release if it has learnt a forgotten tweet, and return its manifest."""
    return _check(models, manifest, forgotten.ids(data, manifest.account), at)


def check_all(
    data: Store, models: Store, account: str, at: datetime
) -> tuple[list[Manifest], list[str]]:
    """Check all releases of an account, the oldest first.

    Returns:
        The manifests of those that have learnt a forgotten tweet, now or earlier; and the tags of
        those that this program cannot read.
    """
    gone = forgotten.ids(data, account)
    learnt: list[Manifest] = []
    unreadable: list[str] = []
    for tag in release.tags(models, account):
        try:
            manifest = _check(models, release.read_manifest(models, account, tag), gone, at)
        except Unreadable:
            unreadable.append(tag)
        else:
            if manifest.learnt_forgotten is not None:
                learnt.append(manifest)
    return learnt, unreadable


def _check(models: Store, manifest: Manifest, gone: AbstractSet[str], at: datetime) -> Manifest:
    if manifest.learnt_forgotten is None and _has_learnt(models, manifest, gone):
        return release.mark_learnt(models, manifest.account, manifest.tag, at)
    return manifest


def _has_learnt(models: Store, manifest: Manifest, gone: AbstractSet[str]) -> bool:
    """Whether a release was trained on such a tweet, or started from a release that was.

    If the ids of its tweets are missing, nobody can rule it out.
    """
    if not gone:
        return False
    account = manifest.account
    name = layout.release(account, manifest.tag) + release.DATASET
    ids = documents.load(models, name, TweetIds)
    if ids is None or not gone.isdisjoint(ids.train):
        return True
    if manifest.warm_start is None:
        return False
    start = documents.load(models, layout.manifest(account, manifest.warm_start), Manifest)
    return start is not None and start.learnt_forgotten is not None
