"""One run at a time, scheduled or by hand: an object that says which one until it expires.

The workflow takes the lease for the machines that it makes, and ends it; a machine whose run has
none takes it itself.
"""

from collections.abc import Generator
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
from trainer_image.worker import Worker


class Refused(UserError):
    """Another run holds the lease."""


class Terms(BaseModel):
    """What the object says."""

    run: str
    expires: datetime
    by: Literal["workflow", "machine"]


@contextmanager
def held(
    store: Store, worker: Worker, longest: timedelta, clock: Clock
) -> Generator[None, None, None]:
    """The lease for as long as the block takes, which is at most `longest`.

    Raises Refused while another run holds it. What the workflow took is left to it.
    """
    _take(store, worker.run, longest, clock)
    try:
        yield
    finally:
        try:
            _end(store, worker)
        except UserError as error:  # it expires by itself; what happened in the block matters more
            log("WARNING", f"{layout.run_lease()} not ended: {error}")


def _take(store: Store, run: str, longest: timedelta, clock: Clock) -> None:
    while True:
        found = store.read(layout.run_lease())
        terms = found and _terms(found)
        now = clock()
        if terms and terms.expires > now:
            if terms.run != run:
                raise Refused(
                    f"run {terms.run} has {layout.run_lease()} until {terms.expires:%F %H:%M} UTC:"
                    f" run {run} trains nothing; name another run once that one has ended"
                )
            if terms.by == "workflow":
                return
        mine = Terms(run=run, expires=now + longest, by="machine").model_dump_json().encode()
        try:
            store.write(layout.run_lease(), mine, generation=found.generation if found else 0)
        except Changed:  # somebody was faster: look again
            continue
        return


def _end(store: Store, worker: Worker) -> None:
    """Delete what a machine took, once no other machine of the run can still be training."""
    found = store.read(layout.run_lease())
    terms = found and _terms(found)
    if found is None or terms is None or (terms.run, terms.by) != (worker.run, "machine"):
        return
    alone = worker.workers == 1
    if not alone and any(read_result(store, machine) is None for machine in worker.machines):
        return
    try:
        store.delete(layout.run_lease(), generation=found.generation)
    except Changed:
        log("INFO", f"{layout.run_lease()} is another's by now")


def _terms(found: Object) -> Terms | None:
    try:
        return Terms.model_validate_json(found.data)
    except ValidationError:  # a lease that nobody can read binds nobody
        return None
