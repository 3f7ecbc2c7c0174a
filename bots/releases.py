"""Shows an account's releases and chooses the live one."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from pipeline import release
from pipeline.documents import Unreadable
from pipeline.errors import UserError
from pipeline.release import Manifest
from pipeline.store import PreconditionFailed, Store


def live_tag(store: Store, account: str) -> str | None:
    """The live release's tag; None before the first release."""
    live = release.read_live(store, account)
    return live.document.release if live else None


def promote(store: Store, account: str, tag: str, by: str, at: datetime) -> bool:
    """Make a release live; returns False if it is live already."""
    manifest = release.read_whole(store, account, tag)
    if manifest.gate == "refused":
        raise UserError(
            f"release {tag} of {account} did not pass its gate ({manifest.reason});"
            f" choose another: `bots releases {account}`"
        )
    live = release.read_live(store, account)
    if live is not None and live.document.release == tag:
        return False
    _move(store, account, tag, by, live.generation if live else 0, at)
    return True


def rollback(store: Store, account: str, by: str, at: datetime) -> str:
    """Make the release before the live one live again and return its tag."""
    live = release.read_live(store, account)
    if live is None:
        raise UserError(f"account {account} has no live release yet: nothing to go back from")
    pointer, generation = live
    if pointer.previous is None:
        raise UserError(
            f"account {account} had no release before {pointer.release}: nothing to go back to"
        )
    release.read_whole(store, account, pointer.previous)
    _move(store, account, pointer.previous, by, generation, at)
    return pointer.previous


def _move(store: Store, account: str, tag: str, by: str, generation: int, at: datetime) -> None:
    try:
        release.move_live(store, account, tag, by, generation, at)
    except PreconditionFailed:
        raise UserError(
            f"the live release of {account} was changed by somebody else meanwhile; see"
            f" `bots releases {account}` and decide again"
        ) from None


def _marks(manifest: Manifest) -> Iterator[str]:
    if manifest.learnt_forgotten:
        yield "learnt forgotten tweets"
    if manifest.pruned:
        yield "pruned"


def rows(
    releases: Iterable[tuple[str, Manifest | Unreadable]], live: str | None
) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Yield tag, time, tweets, held-out loss, gate and state of each release."""
    for tag, manifest in releases:
        state = "live" if tag == live else ""
        if isinstance(manifest, Unreadable):
            yield tag, "", "", "", f"unreadable: {manifest}", state
        else:
            yield (
                tag,
                f"{manifest.created:%Y-%m-%d %H:%M}",
                str(manifest.dataset.tweets),
                f"{manifest.loss.held_out_int8:.3f}",
                manifest.gate if manifest.gate == "passed" else f"refused: {manifest.reason}",
                ", ".join(filter(None, (state, *_marks(manifest)))),
            )
