"""The lease of training runs: one run at a time, scheduled or by hand.

The scheduled job takes the lease for the machines that it makes, and releases it. A machine
takes the lease itself if its run does not have it yet.
"""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Literal

from pipeline import layout, lease
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.lease import Busy, Terms
from pipeline.log import log
from pipeline.runs import read_result
from pipeline.store import Store
from pipeline.worker import Worker

Holder = Literal["schedule", "machine"]


@contextmanager
def held(
    store: Store, worker: Worker, longest: timedelta, clock: Clock
) -> Generator[None, None, None]:
    """Hold the lease for a machine during the block, which takes at most `longest`.

    If the scheduled job has taken the lease for the machine's run, it stays the job's.

    Raises:
        Busy: Another run has it.
    """
    take(store, worker.run, "machine", clock() + longest, clock)
    try:
        yield
    finally:
        try:
            if _others_have_ended(store, worker):
                release(store, worker.run, "machine")
        except PipelineError as error:
            # The lease expires by itself; what happened in the block matters more.
            log("WARNING", f"{layout.run_lease()} not released: {error}")


def take(store: Store, run: str, by: Holder, expires: datetime, clock: Clock) -> None:
    """Take the lease for a run, unless the schedule has taken it for the same run.

    Raises:
        Busy: Another run has it.
    """

    def is_the_schedules(terms: Terms) -> bool:
        return terms.by != "machine"  # older programs of the schedule wrote "workflow"

    mine = Terms(run=run, expires=expires, by=by)
    try:
        lease.take(store, layout.run_lease(), mine, clock(), keep=is_the_schedules)
    except Busy as error:
        raise Busy(
            f"{error}: run {run} trains nothing; name another run once that one has ended"
        ) from None


def release(store: Store, run: str, by: Holder) -> None:
    """Delete the lease, if this run has it and this holder took it."""
    lease.release(store, layout.run_lease(), run, by)


def holder(store: Store, now: datetime) -> str | None:
    """The run that has the lease; None if none has."""
    terms = lease.current(store, layout.run_lease(), now)
    return terms and terms.run


def _others_have_ended(store: Store, worker: Worker) -> bool:
    """Whether no other machine of the run can still be training."""
    return worker.workers == 1 or all(read_result(store, m) for m in worker.machines)
