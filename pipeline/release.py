"""Releases of a model: the manifest that completes one, and the pointer that makes it live."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline import documents, layout
from pipeline.documents import Document, Part, Stored, Unreadable
from pipeline.errors import UserError
from pipeline.learn import StoredLearn
from pipeline.settings import StoredSettings
from pipeline.store import PreconditionFailed, Store

GRACE = timedelta(days=3)
"""The time from a release's pruning to the deletion of its weights. No machine, build or operator's
command runs for longer."""
DATASET = "dataset.json"
"""The file of a release that holds its TweetIds."""

Tag = Annotated[str, Field(pattern=r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$")]

_MODEL_FILE = re.compile(r"model/[A-Za-z0-9_][A-Za-z0-9._-]*")


class TweetIds(Document):
    """The ids of the tweets that a release was trained on, and of those that it was scored on."""

    train: list[str]
    held_out: list[str]


class Dataset(Part):
    """The size and digest of a release's data set; `tweets` includes those that are held out."""

    digest: str
    tweets: int
    held_out: int


class Loss(Part):
    """Mean loss in nats a token of the release's vocabulary; the end token counts.

    Step 0 of the held-out curve is the model that training began with.
    """

    held_out_float: float
    held_out_int8: float
    live_int8: float | None = Field(description="the live release's model on the same tweets")
    train_curve: list[tuple[int, float]] = Field(description="(step, training loss)")
    held_out_curve: list[tuple[int, float]] = Field(
        description="(step, held-out loss in float32); int8 in releases before December 2026"
    )


class Memorisation(Part):
    """Shares of texts that repeat 8 words in a row of a training tweet within a post's length."""

    samples: float
    held_out: float


class Manifest(Document):
    """All facts about a release; written last, so a release without it does not exist."""

    version: int = 2
    account: str
    tag: Tag
    created: datetime
    run: str
    dataset: Dataset
    base_model: str
    warm_start: Tag | None
    compared_with: Tag | None = Field(description="the release that was live, for the gate")
    settings: StoredSettings
    learn: StoredLearn = Field(
        default=StoredLearn(), description="what of the tweets was learnt; the defaults before that"
    )
    dropped: dict[str, int] = Field(
        default={}, description="how many tweets were left out, by the reason"
    )
    loss: Loss
    memorisation: Memorisation
    valid: float = Field(description="share of samples that could be posted")
    step: int
    files: dict[str, str] = Field(description="sha256 of each file, by name below the release")
    gate: Literal["passed", "refused"]
    reason: str
    pruned: datetime | None = Field(
        default=None,
        description="since when its weights may be gone; such a release never goes live",
    )
    learnt_forgotten: datetime | None = Field(
        default=None,
        description="when a tweet that it was trained on was forgotten on request; such a release"
        " can never go live, and no training starts from it",
    )


class NotAllowed(UserError):
    """The release exists, and cannot go live."""


class LivePointer(Document):
    """Which release is live, since when, and who made it live."""

    release: Tag
    at: datetime
    by: str
    previous: Tag | None


class BasePointer(Document):
    """The app base, by digest, of the account's image; written by the Pulumi program."""

    base: Annotated[str, Field(pattern=f"^({layout.IMAGE})$")]
    seed: str = Field(default="", description="the first image of `:live`; a new one is an event")


def tag(at: datetime, dataset_digest: str) -> str:
    """The name of a release: sorts by time, valid as folder, image tag and label."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{dataset_digest[:8]}"


def read_manifest(store: Store, account: str, tag: str) -> Manifest:
    """Read the manifest of a release; raise UserError if there is none."""
    return _read_manifest(store, account, tag).document


def _read_manifest(store: Store, account: str, tag: str) -> Stored[Manifest]:
    stored = documents.read(store, layout.manifest(account, tag), Manifest)
    if stored is None:
        raise UserError(f"account {account} has no release {tag}: see `bots releases {account}`")
    return stored


def read_whole(store: Store, account: str, tag: str) -> Manifest:
    """Read the manifest of a release that may go live.

    Raises:
        NotAllowed: It has been pruned, or has learnt a tweet that was forgotten on request.
        UserError: There is no such release.
    """
    return _may_go_live(read_manifest(store, account, tag))


def _may_go_live(manifest: Manifest) -> Manifest:
    if manifest.learnt_forgotten is not None:
        raise NotAllowed(
            f"release {manifest.tag} of {manifest.account} has learnt tweets that were forgotten on"
            f" {manifest.learnt_forgotten:%Y-%m-%d}: it can never go live; choose another:"
            f" `bots releases {manifest.account}`, or train"
        )
    if manifest.pruned is not None:
        raise NotAllowed(
            f"release {manifest.tag} of {manifest.account} was pruned on"
            f" {manifest.pruned:%Y-%m-%d}: its weights are gone or soon will be; choose one that"
            f" is not pruned: `bots releases {manifest.account}`"
        )
    return manifest


def mark(store: Store, account: str, tag: str, pruned: datetime | None) -> None:
    """Mark a release as pruned since a time, or as not pruned (None).

    Raises:
        PreconditionFailed: Somebody else has written the manifest meanwhile.
    """
    manifest, generation = _read_manifest(store, account, tag)
    marked = manifest.model_copy(update={"pruned": pruned})
    documents.write(store, layout.manifest(account, tag), marked, generation)


def mark_learnt(store: Store, account: str, tag: str, at: datetime) -> Manifest:
    """Mark a release that has learnt a tweet that is forgotten; an earlier mark stays."""

    def change(manifest: Manifest | None) -> Manifest:
        if manifest is None:
            raise UserError(f"release {tag} of {account} was deleted meanwhile; run it again")
        if manifest.learnt_forgotten is not None:
            return manifest
        return manifest.model_copy(update={"learnt_forgotten": at})

    return documents.update(store, layout.manifest(account, tag), Manifest, change)


def tags(store: Store, account: str) -> list[str]:
    """The tags of the account's complete releases, the oldest first; reads names alone."""
    prefix = layout.releases(account)
    names = {*store.names(prefix)}
    uploaded = {name.removeprefix(prefix).partition("/")[0] for name in names}
    return sorted(tag for tag in uploaded if layout.manifest(account, tag) in names)


def read_each(
    store: Store, account: str, tags: Iterable[str]
) -> Iterator[tuple[str, Manifest | Unreadable]]:
    """Read the manifests of these releases, one after the other.

    For a manifest that this program cannot read, yields the error in its place, so the caller can
    go on with the other releases.
    """
    for tag in tags:
        try:
            yield tag, read_manifest(store, account, tag)
        except Unreadable as error:
            yield tag, error


def readable(store: Store, account: str, tags: Iterable[str]) -> Iterator[Manifest]:
    """Read the manifests of these releases, without those that this program cannot read."""
    for _, manifest in read_each(store, account, tags):
        if isinstance(manifest, Manifest):
            yield manifest


def list_releases(store: Store, account: str) -> list[Manifest]:
    """The manifests of the account's releases that this program can read, the oldest first."""
    return list(readable(store, account, tags(store, account)))


def read_live(store: Store, account: str) -> Stored[LivePointer] | None:
    """The live pointer and its generation; None before the first release."""
    return documents.read(store, layout.live_pointer(account), LivePointer)


def read_base(store: Store, account: str) -> BasePointer | None:
    """The base pointer; None if the stack does not declare the account."""
    return documents.load(store, layout.base_pointer(account), BasePointer)


def download_model(store: Store, account: str, tag: str, folder: Path) -> None:
    """Download the files of a release's model, which its manifest lists, into a folder.

    Raises:
        UserError: A file's digest is not the one in the manifest.
    """
    for name, digest in read_manifest(store, account, tag).files.items():
        if not name.startswith("model/"):
            continue
        if not _MODEL_FILE.fullmatch(name):
            raise UserError(f"release {tag} of {account}: {name!r} is not a valid name of a file")
        file = folder / Path(name).name
        store.download(layout.release(account, tag) + name, file)
        with file.open("rb") as content:
            actual = hashlib.file_digest(content, "sha256").hexdigest()
        if actual != digest:
            raise UserError(
                f"release {tag} of {account}: {name} has the SHA-256 {actual}, and the manifest"
                f" says {digest}"
            )


def move_live(
    store: Store, account: str, tag: str, by: str, expected_generation: int, at: datetime
) -> int:
    """Make a release live and return the pointer's new generation.

    The pointer is a new document. From the old one it takes only the release that was live.

    Raises:
        PreconditionFailed: The pointer is no longer at `expected_generation` (0: there was none).
        NotAllowed: The release is pruned, or has learnt a tweet that was forgotten on request; the
            pointer is as it was.
        Unreadable: The release's manifest cannot be read; the pointer is as it was.
    """
    live = read_live(store, account)
    pointer = LivePointer(
        release=tag, at=at, by=by, previous=live.document.release if live else None
    )
    name = layout.live_pointer(account)
    moved = documents.write(store, name, pointer, expected_generation)
    # Whoever marks a manifest reads the pointer afterwards. Here the pointer is moved first, and
    # then the manifest read. So whatever the order, at least one of the two notices the other.
    try:
        manifest = documents.load(store, layout.manifest(account, tag), Manifest)
        if manifest is not None:
            _may_go_live(manifest)
    except (NotAllowed, Unreadable):
        with suppress(PreconditionFailed):  # somebody has made another one live
            if live is None:
                store.delete(name, generation=moved)
            else:
                documents.write(store, name, live.document, moved)
        raise
    return moved
