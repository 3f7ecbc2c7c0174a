"""Prunes an account's releases in two steps: one training marks them, a later one empties them.

Whole stay the live release, the one that was live before it, and the newest that passed the gate.
A pruned release keeps its manifest, which tells all that was found out about it, and the ids of its
tweets. Whoever prunes holds the account's lease, so one program prunes an account at a time.

Three rules make this safe beside programs that hold no lease (the operator's command, a build, the
tweet API), and at every point where this program may die:

- A release is marked, by compare-and-set on its manifest, before anything of it is deleted.
- The pointer is read after the mark; a marked release that it names is given back. A promotion
  moves the pointer and then reads the manifest (`release.move_live`), so one notices the other.
- A mark rests before it is acted on: who read the pointer or the manifest earlier is done by then.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline import layout, release
from pipeline.clock import Clock
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.release import Manifest
from pipeline.store import Changed, Store
from trainer_image.lease import Lease

REST = timedelta(days=3)
"""No training machine, build or operator's command is at work for longer."""


def prune(models: Store, account: str, keep: int, lease: Lease, clock: Clock) -> None:
    """Prune all but the `keep` newest releases and those in use; log what cannot be done now.

    A failure here never becomes the training's: the next training goes on with what is left.
    """
    try:
        _Pruning(models, account, lease, clock()).run(keep)
    except (UserError, Changed) as error:
        log(
            "WARNING",
            f"releases of {account} not pruned, the next training goes on with it: {error}",
            account=account,
        )


@dataclass(frozen=True)
class _Pruning:
    models: Store
    account: str
    lease: Lease
    now: datetime

    def run(self, keep: int) -> None:
        stored: defaultdict[str, list[str]] = defaultdict(list)
        prefix = layout.releases(self.account)
        for name in self.models.names(prefix):
            stored[name.removeprefix(prefix).split("/")[0]].append(name)
        for tag, names in stored.items():
            if layout.manifest(self.account, tag) not in names:
                self._remove_unfinished(tag, names)
        with_weights = [
            release.read_manifest(self.models, self.account, tag)
            for tag, names in sorted(stored.items())
            if layout.manifest(self.account, tag) in names and self._weights(tag, names)
        ]
        marked = self._mark(with_weights, keep)
        for manifest in marked:
            self._give_back_or_empty(manifest, stored[manifest.tag])

    def _mark(self, releases: list[Manifest], keep: int) -> list[Manifest]:
        """Mark what is not needed; returns all that are marked, as they are now."""
        in_use = self._in_use()
        passed = [m.tag for m in releases if m.gate == "passed" and m.pruned is None]
        needed = {*in_use, *passed[-keep:]}
        marked = [manifest for manifest in releases if manifest.pruned is not None]
        for manifest in releases:
            if manifest.pruned is None and manifest.tag not in needed:
                self.lease.renew()
                release.mark(self.models, self.account, manifest.tag, self.now)
                self._say("NOTICE", manifest.tag, "is pruned: a later training deletes its weights")
                marked.append(manifest.model_copy(update={"pruned": self.now}))
        return marked

    def _give_back_or_empty(self, manifest: Manifest, names: list[str]) -> None:
        """What becomes of a marked release; the pointer is read after the mark."""
        assert manifest.pruned is not None
        self.lease.renew()
        if manifest.tag in self._in_use():
            prefix = layout.release(self.account, manifest.tag)
            if not {prefix + file for file in manifest.files} <= {*names}:
                self._say("ERROR", manifest.tag, "is in use and lacks files: promote another")
                return
            release.mark(self.models, self.account, manifest.tag, None)
            self._say("NOTICE", manifest.tag, "is in use after all: it is not pruned any more")
        elif self.now - manifest.pruned >= REST:
            for name in self._weights(manifest.tag, names):
                self.models.remove(name)
            self._say("NOTICE", manifest.tag, "has no weights any more")

    def _remove_unfinished(self, tag: str, names: list[str]) -> None:
        """Delete an upload that broke off; no other run uploads while this one has the lease."""
        try:
            begun = datetime.strptime(tag[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:  # nothing that a trainer uploads
            return
        if self.now - begun >= REST:
            self.lease.renew()
            for name in names:
                self.models.remove(name)
            self._say("NOTICE", tag, "was never completed: what was uploaded of it is deleted")

    def _in_use(self) -> set[str | None]:
        """What the live pointer names: the live release, and what a rollback goes back to."""
        live = release.read_live(self.models, self.account)
        return {live[0].release, live[0].previous} if live else set()

    def _weights(self, tag: str, names: list[str]) -> list[str]:
        prefixes = layout.weights(self.account, tag)
        return [name for name in names if name.startswith(prefixes)]

    def _say(self, severity: str, tag: str, what: str) -> None:
        log(severity, f"release {tag} of {self.account} {what}", account=self.account, release=tag)
