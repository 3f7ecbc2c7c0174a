"""Reports machines of a run by hand that have ended and still exist.

Only Pulumi deletes them. So a machine that has powered off, or was stopped or pre-empted, stays,
and its disk costs money. The Pulumi program records the run for as long as the stack file names it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from pipeline import documents, events, layout
from pipeline.documents import Document
from pipeline.log import log
from pipeline.runs import read_result
from pipeline.store import Store

# The longest time from the run's declaration to the start of its machines.
_START = timedelta(hours=1)


class Run(Document):
    """A run by hand, as the Pulumi program records it."""

    run: str
    machines: list[str]
    zone: str
    hours: int


def report(
    data: Store, models: Store, before: Mapping[str, datetime], now: datetime
) -> dict[str, datetime]:
    """Log the machines that are left over; returns when each run was first seen.

    `before` is what the last call returned.
    """
    seen: dict[str, datetime] = {}
    for name in data.names(layout.runs_by_hand()):
        run = documents.load(data, name, Run)
        if run is None:
            continue  # removed since it was listed
        seen[run.run] = before.get(run.run, now)
        _report_one(run, models, now - seen[run.run])
    return seen


def _report_one(run: Run, models: Store, age: timedelta) -> None:
    running = [machine for machine in run.machines if read_result(models, machine) is None]
    if running and age < timedelta(hours=run.hours) + _START:
        return
    state = (
        f"{', '.join(running)} had {run.hours} hours and left no result: stopped or pre-empted"
        if running
        else f"{', '.join(run.machines)} ended"
    )
    log(
        "WARNING",
        f"run {run.run}: {state}. The machines in {run.zone} still cost money: remove `run:` from"
        " the stack file and run `pulumi up`",
        event=events.MACHINE_LEFT,
        run=run.run,
    )
