"""Releases of a model: the manifest that completes one, and the pointer that makes it live."""

import hashlib
import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline import layout
from pipeline.errors import UserError
from pipeline.settings import Settings
from pipeline.store import Changed, Store

# The file of a release that holds the ids of the tweets that it was trained and scored on.
DATASET = "dataset.json"

Tag = Annotated[str, Field(pattern=r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$")]


_MODEL_FILE = re.compile(r"model/[A-Za-z0-9_][A-Za-z0-9._-]*")


class _Document(BaseModel):
    # Unknown keys are let pass: an older program reads what a newer one wrote.
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


_T = TypeVar("_T", bound=_Document)


class Dataset(_Document):
    """What a release was trained on and, held out of that, scored on."""

    digest: str
    tweets: int
    held_out: int


class Loss(_Document):
    """Mean loss in nats a token of the release's vocabulary; the end token counts.

    At step 0 of the held-out curve it is that of the model that training began with.
    """

    held_out_float: float
    held_out_int8: float
    live_int8: float | None = Field(description="of the live release's model, the same tweets")
    train_curve: list[tuple[int, float]] = Field(description="(step, training loss)")
    held_out_curve: list[tuple[int, float]] = Field(
        description="(step, held-out loss in float32); releases before December 2026: as int8"
    )


class Memorisation(_Document):
    """Shares of texts that hold 8 words in a row of a training tweet, as far as a post goes."""

    samples: float
    held_out: float


class Manifest(_Document):
    """All that is known of a release; written last, so that without it there is no release."""

    account: str
    tag: Tag
    created: datetime
    run: str
    dataset: Dataset
    base_model: str
    warm_start: Tag | None
    compared_with: Tag | None = Field(description="the release that was live, for the gate")
    settings: Settings
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


class Pruned(UserError):
    """The release has been pruned: it cannot go live."""


class LivePointer(_Document):
    """Which release is live, since when and by whose hand."""

    release: Tag
    at: datetime
    by: str
    previous: Tag | None


class BasePointer(_Document):
    """Which app base, by digest, the account's image is built on."""

    base: Annotated[str, Field(pattern=f"^({layout.IMAGE})$")]


def tag(at: datetime, dataset_digest: str) -> str:
    """The name of a release: sorts by time, valid as folder, image tag and label."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{dataset_digest[:8]}"


def read_manifest(store: Store, account: str, tag: str) -> Manifest:
    """Raise UserError where there is no such release."""
    found = store.read(layout.manifest(account, tag))
    if found is None:
        raise UserError(f"account {account} has no release {tag}: see `bots releases {account}`")
    return _parse(Manifest, found.name, found.data)


def read_whole(store: Store, account: str, tag: str) -> Manifest:
    """The manifest of a release that may go live; raise Pruned or UserError where there is none."""
    return _whole(read_manifest(store, account, tag))


def _whole(manifest: Manifest) -> Manifest:
    if manifest.pruned is not None:
        raise Pruned(
            f"release {manifest.tag} of {manifest.account} was pruned on"
            f" {manifest.pruned:%Y-%m-%d}: its weights are gone or soon will be; choose one that"
            f" is not pruned: `bots releases {manifest.account}`"
        )
    return manifest


def mark(store: Store, account: str, tag: str, pruned: datetime | None) -> None:
    """Write into a manifest since when its release is pruned; None: it is not.

    Keys that this program does not know stay. Raises Changed if somebody else wrote meanwhile.
    """
    name = layout.manifest(account, tag)
    found = store.read(name)
    if found is None:
        raise Changed(name)
    document = json.loads(found.data) | {"pruned": pruned and pruned.isoformat()}
    store.write(name, json.dumps(document, indent=1).encode(), generation=found.generation)


def tags(store: Store, account: str) -> list[str]:
    """The tags of the account's complete releases, the oldest first; reads names alone."""
    names = store.names(layout.releases(account))
    return sorted(name.split("/")[-2] for name in names if name.endswith("/manifest.json"))


def list_releases(store: Store, account: str) -> list[Manifest]:
    """The account's complete releases, the oldest first; reads every manifest."""
    return [read_manifest(store, account, tag) for tag in tags(store, account)]


def read_live(store: Store, account: str) -> tuple[LivePointer, int] | None:
    """The live pointer and its generation; None before the first release."""
    found = store.read(layout.live_pointer(account))
    return found and (_parse(LivePointer, found.name, found.data), found.generation)


def read_base(store: Store, account: str) -> BasePointer | None:
    """The base pointer; None where the account is not declared, or no longer."""
    found = store.read(layout.base_pointer(account))
    return found and _parse(BasePointer, found.name, found.data)


def download_model(store: Store, account: str, tag: str, folder: Path) -> None:
    """Put the files of a release's model, all that its manifest lists, into a folder.

    Raises UserError where the release is not what its manifest says.
    """
    for name, digest in read_manifest(store, account, tag).files.items():
        if not name.startswith("model/"):
            continue
        if not _MODEL_FILE.fullmatch(name):
            raise UserError(f"release {tag} of {account}: {name!r} is no name of a model's file")
        file = folder / Path(name).name
        store.download(layout.release(account, tag) + name, file)
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != digest:
            raise UserError(
                f"release {tag} of {account}: {name} has the SHA-256 {found}, and the manifest"
                f" says {digest}"
            )


def move_live(
    store: Store, account: str, tag: str, by: str, expected_generation: int, at: datetime
) -> int:
    """Make `tag` live and return the pointer's new generation.

    Raises store.Changed if the pointer is no longer at `expected_generation` (0: there was none).
    Raises Pruned, with the pointer as it was, if the release is pruned.
    """
    live = read_live(store, account)
    pointer = LivePointer(release=tag, at=at, by=by, previous=live[0].release if live else None)
    name = layout.live_pointer(account)
    moved = store.write(name, pointer.model_dump_json().encode(), generation=expected_generation)
    # Pruning marks the manifest and then reads the pointer; here it is the other way round. So
    # whatever the order, at least one of the two notices the other.
    found = store.read(layout.manifest(account, tag))
    try:
        if found is not None:
            _whole(_parse(Manifest, found.name, found.data))
    except Pruned:
        with suppress(Changed):  # somebody has made another one live
            if live is None:
                store.delete(name, generation=moved)
            else:
                store.write(name, live[0].model_dump_json().encode(), generation=moved)
        raise
    return moved


def _parse(model: type[_T], name: str, data: bytes) -> _T:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        what = error.errors()[0]
        where = ".".join(str(part) for part in what["loc"]) or "document"
        raise UserError(f"object {name}: {where}: {what['msg']}") from error
