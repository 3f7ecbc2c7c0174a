"""One run at a time, scheduled or by hand: an object that says which one until it expires.

The scheduled job takes the lease for the machines that it makes, and ends it; a machine whose run
has none takes it itself.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ValidationError

from pipeline import layout
from pipeline.clock import Clock
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.runs import read_result
from pipeline.store import Changed, Object, Store
from pipeline.worker import Worker

Holder = Literal["schedule", "machine"]


class Refused(UserError):
    """Another run holds the lease."""


class Terms(BaseModel):
    """What the object says; `by` is a Holder, or what an older program called one."""

    run: str
    expires: datetime
    by: str


@contextmanager
def held(
    store: Store, worker: Worker, longest: timedelta, clock: Clock
) -> Generator[None, None, None]:
    """A machine's lease for as long as the block takes, which is at most `longest`.

    Raises Refused while another run holds it. What the schedule took is left to it.
    """
    take(store, worker.run, "machine", lambda: clock() + longest, clock)
    try:
        yield
    finally:
        try:
            if _others_have_ended(store, worker):
                end(store, worker.run, "machine")
        except UserError as error:  # it expires by itself; what happened in the block matters more
            log("WARNING", f"{layout.run_lease()} not ended: {error}")


def take(store: Store, run: str, by: Holder, expires: Callable[[], datetime], clock: Clock) -> None:
    """Take the lease for a run, until `expires`.

    Raises:
        Refused: Another run holds it.
    """
    while True:
        found = store.read(layout.run_lease())
        terms = found and _terms(found)
        if terms and terms.expires > clock():
            if terms.run != run:
                raise Refused(
                    f"run {terms.run} has {layout.run_lease()} until {terms.expires:%F %H:%M} UTC:"
                    f" run {run} trains nothing; name another run once that one has ended"
                )
            if terms.by != "machine":
                return
        mine = Terms(run=run, expires=expires(), by=by).model_dump_json().encode()
        try:
            store.write(layout.run_lease(), mine, generation=found.generation if found else 0)
        except Changed:  # somebody was faster: look again
            continue
        return


def end(store: Store, run: str, by: Holder) -> None:
    """Delete the lease, where it is this holder's."""
    found = store.read(layout.run_lease())
    terms = found and _terms(found)
    if found is None or terms is None or (terms.run, terms.by) != (run, by):
        return
    try:
        store.delete(layout.run_lease(), generation=found.generation)
    except Changed:
        log("INFO", f"{layout.run_lease()} is another's by now")


def holder(store: Store, now: datetime) -> str | None:
    """The run that holds the lease; None where none does."""
    found = store.read(layout.run_lease())
    terms = found and _terms(found)
    return terms.run if terms and terms.expires > now else None


def _others_have_ended(store: Store, worker: Worker) -> bool:
    """Whether no other machine of the run can still be training."""
    return worker.workers == 1 or all(read_result(store, m) for m in worker.machines)


def _terms(found: Object) -> Terms | None:
    try:
        return Terms.model_validate_json(found.data)
    except ValidationError:  # a lease that nobody can read binds nobody
        return None
