"""Reports machines of a run by hand that have ended and that nobody has removed.

Pulumi owns their deletion. So a machine that has powered off, or was stopped or pre-empted, stays,
and its disk goes on costing money. The Pulumi program notes the run while the stack file names it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from pipeline import documents, events, layout
from pipeline.documents import Document
from pipeline.log import log
from pipeline.runs import read_result
from pipeline.store import Store

# From the run's declaration to its machines' start.
_START = timedelta(hours=1)


class Run(Document):
    """A run by hand, as the Pulumi program notes it."""

    run: str
    machines: list[str]
    zone: str
    hours: int


def look(
    data: Store, models: Store, before: Mapping[str, datetime], now: datetime
) -> dict[str, datetime]:
    """Log the machines that are left over; returns when each run was first seen, for next time."""
    seen: dict[str, datetime] = {}
    for name in data.names(layout.runs_by_hand()):
        found = documents.read(data, name, Run)
        if found is None:
            continue  # removed since it was listed
        run = found.document
        seen[run.run] = before.get(run.run, now)
        _report(run, models, now - seen[run.run])
    return seen


def _report(run: Run, models: Store, age: timedelta) -> None:
    running = [machine for machine in run.machines if read_result(models, machine) is None]
    if running and age < timedelta(hours=run.hours) + _START:
        return
    what = (
        f"{', '.join(running)} had {run.hours} hours and left no result: stopped or pre-empted"
        if running
        else f"{', '.join(run.machines)} ended"
    )
    log(
        "WARNING",
        f"run {run.run}: {what}. What is left in {run.zone} costs money: remove `run:` from the"
        " stack file and run `pulumi up`",
        event=events.MACHINE_LEFT,
        run=run.run,
    )
