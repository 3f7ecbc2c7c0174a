"""Slots: the ticks of a posting schedule, and the record of what became of each.

When clocks change, cronsim follows Debian's cron: a fixed time in the skipped hour comes right
after that hour, a fixed time in the doubled hour comes once, and a wildcard follows the clock.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import Field

from pipeline import documents, layout
from pipeline.documents import Document, Stored
from pipeline.errors import UserError
from pipeline.store import Store

_DAY = timedelta(days=1)


def latest(schedule: str, time_zone: str, now: datetime) -> datetime:
    """The schedule's newest tick at or before `now`, in UTC; raises UserError."""
    just_after = (now + timedelta(minutes=1)).replace(second=0, microsecond=0)
    try:
        back = CronSim(schedule, just_after.astimezone(ZoneInfo(time_zone)), reverse=True)
        tick = _utc(next(back))
    except (CronSimError, StopIteration, KeyError, ValueError, OSError) as error:
        raise UserError(
            f"schedule {schedule!r} in time zone {time_zone!r} is invalid ({error!r}); correct it"
            " in the stack file"
        ) from None
    # When clocks change, cronsim finds other ticks backward than forward. Schedules fire forward.
    fired = takewhile(lambda later: later <= now, following(schedule, time_zone, tick - _DAY))
    return max(fired, default=tick)


def following(schedule: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    """The ticks after a time, in UTC."""
    ticks = map(_utc, CronSim(schedule, after.astimezone(ZoneInfo(time_zone))))
    # Started within a doubled hour, cronsim repeats a fixed time of that hour's first half.
    return (tick for tick in ticks if tick > after)


def name(tick: datetime) -> str:
    """A slot's name: its tick in UTC to the minute, so that names sort as time does."""
    return f"{tick.astimezone(UTC):%Y%m%dT%H%MZ}"


def _utc(tick: datetime) -> datetime:
    # Python compares two times of one zone by local time, which repeats in the doubled hour.
    return tick.astimezone(UTC)


class Slot(Document):
    """The record of one tick; app.post says how its states follow each other."""

    state: Literal["claimed", "intended", "refused", "posted", "unknown", "nothing"]
    execution: Annotated[str, Field(description="the execution that wrote this")]
    nonce: Annotated[str, Field(description="tells two attempts of one execution apart")]
    at: Annotated[datetime, Field(description="when the record last changed")]
    expires: Annotated[datetime, Field(description="when another execution may take it over")]
    text: Annotated[str | None, Field(description="set with the intent, then never changed")] = None
    release: str | None = None
    id: Annotated[str | None, Field(description="the post's id, if X returned it")] = None
    in_doubt: Annotated[
        bool, Field(description="a request whose response was lost may have posted it")
    ] = False
    reason: Annotated[str, Field(description="one line, if something went wrong")] = ""


def read(store: Store, account: str, slot: str) -> Stored[Slot] | None:
    """A slot's record and its generation; None if nobody has claimed the slot."""
    return documents.read(store, layout.slot(account, slot), Slot)


def read_each(store: Store, account: str, slots: Sequence[str]) -> list[tuple[str, Slot]]:
    """Read the records of these slots, several at a time; unclaimed slots are left out."""
    with ThreadPoolExecutor(8) as pool:  # the client keeps ten connections
        records = pool.map(partial(read, store, account), slots)
        return [(slot, stored[0]) for slot, stored in zip(slots, records, strict=True) if stored]


def write(store: Store, account: str, slot: str, record: Slot, *, generation: int) -> int:
    """Replace that generation of the record; raises PreconditionFailed if it was replaced."""
    return documents.write(store, layout.slot(account, slot), record, generation)


def names(store: Store, account: str) -> list[str]:
    """The names of all slots that an account has claimed, the oldest first."""
    prefix = layout.posts(account)
    objects = (name.removeprefix(prefix).removesuffix(".json") for name in store.names(prefix))
    return [slot for slot in objects if _is_name(slot)]


def _is_name(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y%m%dT%H%MZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True
