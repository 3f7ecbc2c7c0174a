"""The lease of an account, or of a base model that is being downloaded: one run at a time."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from pipeline import layout, lease
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.lease import Terms
from pipeline.log import log
from pipeline.store import Store

LENGTH = timedelta(minutes=30)


class Lease:
    """A lease that is held; work that takes longer than LENGTH has to renew it."""

    def __init__(self, store: Store, account: str, run: str, clock: Clock) -> None:
        """Take the lease; raise Busy if another run has it.

        The same run may take it again, because its earlier machine must be gone.
        """
        self._store, self._clock = store, clock
        self._name = layout.lease(account)
        mine = Terms(run=run, expires=clock() + LENGTH)
        self._held = lease.take(store, self._name, mine, clock())

    def renew(self) -> None:
        """Extend the lease once half of it has passed; raise Busy if another run has it."""
        if self._held.document.expires - self._clock() < LENGTH / 2:
            expires = self._clock() + LENGTH
            self._held = lease.renew(self._store, self._name, self._held, expires)

    def release(self) -> None:
        """Delete the lease."""
        mine = self._held.document
        lease.release(self._store, self._name, mine.run, mine.by)


@contextmanager
def held(store: Store, account: str, run: str, clock: Clock) -> Generator[Lease, None, None]:
    """Hold the lease during the block."""
    mine = Lease(store, account, run, clock)
    try:
        yield mine
    finally:
        try:
            mine.release()
        except PipelineError as error:
            # The lease expires by itself; what happened in the block matters more.
            log("WARNING", f"lease of {account} not released: {error}", account=account)
