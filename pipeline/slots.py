"""Slots: the ticks of a posting schedule, and the record of what became of each.

cronsim follows Debian's cron where clocks change: a fixed time in the skipped hour comes right
after it, one in the doubled hour comes once, a wildcard follows the clock.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline import layout
from pipeline.errors import UserError
from pipeline.store import Store

_DAY = timedelta(days=1)


def latest(schedule: str, time_zone: str, now: datetime) -> datetime:
    """The schedule's newest tick at or before `now`, in UTC; or UserError."""
    just_after = (now + timedelta(minutes=1)).replace(second=0, microsecond=0)
    try:
        back = CronSim(schedule, just_after.astimezone(ZoneInfo(time_zone)), reverse=True)
        tick = _utc(next(back))
    except (CronSimError, StopIteration, KeyError, ValueError, OSError) as error:
        raise UserError(f"schedule {schedule!r} in {time_zone!r} is none: {error!r}") from None
    # Where clocks change, cronsim's way back misses ticks that its way forward has, and the other
    # way round (where they change by half an hour). Schedules fire forward.
    fired = takewhile(lambda later: later <= now, following(schedule, time_zone, tick - _DAY))
    return max(fired, default=tick)


def following(schedule: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    """The ticks after a time, in UTC."""
    ticks = map(_utc, CronSim(schedule, after.astimezone(ZoneInfo(time_zone))))
    # From within a doubled hour cronsim repeats a fixed time of its first half.
    return (tick for tick in ticks if tick > after)


def name(tick: datetime) -> str:
    """A slot's name: its tick in UTC to the minute, so that names sort as time does."""
    return f"{tick.astimezone(UTC):%Y%m%dT%H%MZ}"


def _utc(tick: datetime) -> datetime:
    # Two times in one zone are compared by their clocks' faces, which the doubled hour repeats.
    return tick.astimezone(UTC)


class Slot(BaseModel):
    """What became of one tick; app.post says how its states follow each other."""

    model_config = ConfigDict(frozen=True)

    state: Literal["claimed", "intended", "refused", "posted", "unknown", "nothing"]
    execution: Annotated[str, Field(description="of the program that wrote this")]
    nonce: Annotated[str, Field(description="tells two attempts of one execution apart")]
    at: Annotated[datetime, Field(description="of the last change")]
    expires: Annotated[datetime, Field(description="until then nobody else goes on with it")]
    text: Annotated[str | None, Field(description="from the intent on; it never changes")] = None
    release: str | None = None
    id: Annotated[str | None, Field(description="the post's, where X told it")] = None
    in_doubt: Annotated[bool, Field(description="a try whose answer was lost may be on X")] = False
    reason: Annotated[str, Field(description="one line, where it did not go straight")] = ""


def read(store: Store, account: str, slot: str) -> tuple[Slot, int] | None:
    """A slot's record and its generation; None for a slot that nobody has claimed."""
    found = store.read(layout.slot(account, slot))
    if found is None:
        return None
    try:
        return Slot.model_validate_json(found.data), found.generation
    except ValidationError as error:
        what = error.errors()[0]
        where = ".".join(map(str, what["loc"])) or "document"
        raise UserError(f"object {found.name}: {where}: {what['msg']}") from None


def write(store: Store, account: str, slot: str, record: Slot, *, generation: int) -> int:
    """Put the record in place of that generation; raises Changed where another is found."""
    data = record.model_dump_json().encode()
    return store.write(layout.slot(account, slot), data, generation=generation)


def names(store: Store, account: str) -> list[str]:
    """The slots of an account that were ever claimed, the oldest first."""
    prefix = layout.posts(account)
    found = (name.removeprefix(prefix).removesuffix(".json") for name in store.names(prefix))
    return [slot for slot in found if _is_name(slot)]


def _is_name(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y%m%dT%H%MZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True
