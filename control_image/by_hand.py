"""Tells of the machines of a run by hand that have ended and that nobody has removed.

Pulumi owns their deletion, so they power off, or are stopped or pre-empted, and stay: their disks
go on costing money. The program writes down the run for as long as the stack file asks for it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline import events, layout
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.runs import read_result
from pipeline.store import Store

# From the run's declaration to its machines' start.
_START = timedelta(hours=1)


class Run(BaseModel):
    """What the program writes down of a run by hand."""

    model_config = ConfigDict(frozen=True)

    run: str
    machines: list[str]
    zone: str
    hours: int


def look(
    data: Store, models: Store, before: Mapping[str, datetime], now: datetime
) -> dict[str, datetime]:
    """Log machines that are left over; returns since when each run is known, for the next look."""
    seen: dict[str, datetime] = {}
    for name in data.names(layout.runs_by_hand()):
        found = data.read(name)
        if found is None:
            continue  # removed since it was listed
        try:
            run = Run.model_validate_json(found.data)
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise UserError(f"object {name}: {what}; run `pulumi up`") from None
        seen[run.run] = before.get(run.run, now)
        _tell(run, models, now - seen[run.run])
    return seen


def _tell(run: Run, models: Store, age: timedelta) -> None:
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
