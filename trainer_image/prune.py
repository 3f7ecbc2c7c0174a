"""Prunes an account's releases in two steps: one training marks them, a later one deletes files.

Three kinds of releases keep all their files: the live one, the one that was live before it, and the
newest that passed the gate. Of the releases that have learnt forgotten tweets, only the live one
does. A pruned release keeps its manifest and the ids of its tweets. Pruning needs the account's
lease, so one program at a time prunes an account.

Other programs hold no lease (the operator's command, a build, the tweet API), and this program may
die at any point. Three rules make pruning safe:

- A release is marked, by compare-and-set on its manifest, before any of its files is deleted.
- The pointer is read after the mark. If it names the release, the mark is taken back. A promotion
  moves the pointer and then reads the manifest (`release.move_live`), so one notices the other.
- Files are deleted some time after the mark. Programs that read the pointer or the manifest before
  the mark have ended by then.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline import layout, release
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.log import Severity, log
from pipeline.release import GRACE, Manifest
from pipeline.store import PreconditionFailed, Store
from trainer_image.lease import Lease


def prune(models: Store, account: str, keep: int, lease: Lease, clock: Clock) -> None:
    """Prune all but the `keep` newest releases that passed the gate and those in use.

    A failure is logged and does not fail the training; the next training continues.
    """
    try:
        _Pruning(models, account, lease, clock()).run(keep)
    except (PipelineError, PreconditionFailed) as error:
        log(
            "WARNING",
            f"releases of {account} not pruned; the next training tries again: {error}",
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
            tag
            for tag, names in sorted(stored.items())
            if layout.manifest(self.account, tag) in names and self._weights(tag, names)
        ]
        marked = self._mark(self._readable(with_weights), keep)
        for manifest in marked:
            self._unmark_or_empty(manifest, stored[manifest.tag])

    def _readable(self, tags: list[str]) -> list[Manifest]:
        """The manifests of these releases; a release whose manifest cannot be read stays whole."""
        readable: list[Manifest] = []
        for tag, manifest in release.read_each(self.models, self.account, tags):
            if isinstance(manifest, Manifest):
                readable.append(manifest)
            else:
                self._log("WARNING", tag, f"is not pruned: {manifest}")
        return readable

    def _mark(self, releases: list[Manifest], keep: int) -> list[Manifest]:
        """Mark the releases that nothing needs; returns all marked releases."""
        passed = [
            m.tag
            for m in releases
            if m.gate == "passed" and m.pruned is None and m.learnt_forgotten is None
        ]
        needed = {*self._in_use(releases), *passed[-keep:]}
        marked = [manifest for manifest in releases if manifest.pruned is not None]
        for manifest in releases:
            if manifest.pruned is None and manifest.tag not in needed:
                self.lease.renew()
                release.mark(self.models, self.account, manifest.tag, self.now)
                self._log("NOTICE", manifest.tag, "is pruned: a later training deletes its weights")
                marked.append(manifest.model_copy(update={"pruned": self.now}))
        return marked

    def _unmark_or_empty(self, manifest: Manifest, names: list[str]) -> None:
        """Take back the mark of a release in use, or delete the weights of one marked long ago.

        Reads the pointer after the mark.
        """
        assert manifest.pruned is not None
        self.lease.renew()
        if manifest.tag in self._in_use([manifest]):
            prefix = layout.release(self.account, manifest.tag)
            if not {prefix + file for file in manifest.files} <= {*names}:
                self._log("ERROR", manifest.tag, "is in use and lacks files: promote another")
                return
            release.mark(self.models, self.account, manifest.tag, None)
            self._log("NOTICE", manifest.tag, "is in use after all: it is not pruned any more")
        elif self.now - manifest.pruned >= GRACE:
            for name in self._weights(manifest.tag, names):
                self.models.remove(name)
            self._log("NOTICE", manifest.tag, "has no weights any more")

    def _remove_unfinished(self, tag: str, names: list[str]) -> None:
        """Delete an old upload without a manifest.

        No other run uploads while this one has the lease.
        """
        try:
            begun = datetime.strptime(tag[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:  # no trainer uploads under such a name
            return
        if self.now - begun >= GRACE:
            self.lease.renew()
            for name in names:
                self.models.remove(name)
            self._log("NOTICE", tag, "was never completed: its files are deleted")

    def _in_use(self, releases: list[Manifest]) -> set[str]:
        """Those of the releases that the live pointer names: the live one and the one before it.

        The one before it is in use because a rollback makes it live. That is refused for one that
        has learnt forgotten tweets.
        """
        live = release.read_live(self.models, self.account)
        if live is None:
            return set()
        pointer = live.document
        return {
            manifest.tag
            for manifest in releases
            if manifest.tag == pointer.release
            or (manifest.tag == pointer.previous and manifest.learnt_forgotten is None)
        }

    def _weights(self, tag: str, names: list[str]) -> list[str]:
        prefixes = layout.weights(self.account, tag)
        return [name for name in names if name.startswith(prefixes)]

    def _log(self, severity: Severity, tag: str, message: str) -> None:
        log(
            severity,
            f"release {tag} of {self.account} {message}",
            account=self.account,
            release=tag,
        )
