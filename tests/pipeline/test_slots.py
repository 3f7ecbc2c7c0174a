"""A tick is one slot, wherever the clocks change and however late an execution starts."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline import slots
from pipeline.errors import UserError
from pipeline.slots import Slot
from pipeline.store import PreconditionFailed, Store

ZONES = ["Etc/UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
SCHEDULES = ["0 9 * * *", "30 1 * * *", "30 2 * * *", "*/15 * * * *", "0 */2 * * *", "45 1,2 * * 0"]
# The changes of 2026: Europe, North America, Lord Howe.
CHANGES = ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_the_slot_is_the_newest_tick_at_or_before_now() -> None:
    for now, tick in {
        "2026-11-23T08:00:00Z": "20261123T0800Z",
        "2026-11-23T08:00:00.5Z": "20261123T0800Z",
        "2026-11-23T07:59:59.9Z": "20261122T0800Z",
        "2026-11-24T07:59:00Z": "20261123T0800Z",
    }.items():
        assert slots.name(slots.latest("0 9 * * *", "Europe/Paris", at(now))) == tick


def test_an_execution_in_the_doubled_hour_belongs_to_that_days_slot() -> None:
    """01:30 comes twice on 25 October; the execution that started late is in its second half."""
    for now in ("2026-10-25T00:30:00Z", "2026-10-25T01:20:00Z", "2026-10-25T01:40:00Z"):
        assert slots.latest("30 1 * * *", "Europe/London", at(now)) == at("2026-10-25T00:30:00Z")


@given(
    schedule=st.sampled_from(SCHEDULES),
    zone=st.sampled_from(ZONES),
    day=st.sampled_from(CHANGES),
    seconds=st.integers(-86_400, 2 * 86_400),
)
@example(  # in the hours after a clock went back by half an hour
    schedule="0 */2 * * *", zone="Australia/Lord_Howe", day="2026-04-05", seconds=-24_735
)
def test_the_latest_slot_is_the_tick_that_the_schedule_fired(
    schedule: str, zone: str, day: str, seconds: int
) -> None:
    now = at(f"{day}T00:00:00Z") + timedelta(seconds=seconds)
    fired = slots.following(schedule, zone, now - timedelta(days=15))
    assert slots.latest(schedule, zone, now) == list(
        itertools.takewhile(lambda tick: tick <= now, fired)
    )[-1]  # fmt: skip


@given(
    schedule=st.sampled_from(SCHEDULES),
    zone=st.sampled_from(ZONES),
    day=st.sampled_from(CHANGES),
    seconds=st.integers(-86_400, 2 * 86_400),
)
def test_the_ticks_that_follow_lie_ahead_in_order(
    schedule: str, zone: str, day: str, seconds: int
) -> None:
    now = at(f"{day}T00:00:00Z") + timedelta(seconds=seconds)
    ticks = [now, *itertools.islice(slots.following(schedule, zone, now), 20)]
    assert all(earlier < later for earlier, later in itertools.pairwise(ticks))


def test_the_ticks_are_those_of_known_schedulers(shared_data: Any) -> None:
    for case in json.loads((shared_data / "cron" / "cases.json").read_text())["cases"]:
        if "refused" in case.get("also_accepted", []) or len(case["expr"].split()) != 5:
            continue
        expected = [at(time) for time in case["next"]]
        ticks = slots.following(case["expr"], case["tz"], at(case["after"]))
        assert list(itertools.islice(ticks, len(expected))) == expected, case


@pytest.mark.parametrize(
    ("schedule", "zone"), [("61 * * * *", "Etc/UTC"), ("0 9 * * *", "Europe/Pariss"), ("x", "")]
)
def test_an_invalid_schedule_is_an_error_of_one_line(schedule: str, zone: str) -> None:
    with pytest.raises(UserError, match=r"schedule .* is invalid"):
        slots.latest(schedule, zone, at("2026-11-23T08:00:00Z"))


def test_a_record_is_read_as_it_was_written_and_changed_by_compare_and_set(store: Store) -> None:
    now = at("2026-11-23T08:00:00Z")
    record = Slot(state="claimed", execution="e", nonce="1", at=now, expires=now)
    slots.write(store, "keeper", "20261123T0800Z", record, generation=0)
    found = slots.read(store, "keeper", "20261123T0800Z")
    assert found is not None
    assert found[0] == record
    with pytest.raises(PreconditionFailed):
        slots.write(
            store,
            "keeper",
            "20261123T0800Z",
            record.model_copy(update={"nonce": "2"}),
            generation=0,
        )


def test_slots_are_listed_without_the_other_objects_of_the_prefix(store: Store) -> None:
    for name in ("20261124T0800Z", "20261123T0800Z", "history", "spend"):
        store.write(f"posts/keeper/{name}.json", b"{}", generation=0)
    assert slots.names(store, "keeper") == ["20261123T0800Z", "20261124T0800Z"]


def test_a_damaged_record_is_an_error_of_one_line(store: Store) -> None:
    store.write("posts/keeper/20261123T0800Z.json", b'{"state": "gone"}', generation=0)
    with pytest.raises(UserError, match=r"/posts/keeper/20261123T0800Z\.json: state: "):
        slots.read(store, "keeper", "20261123T0800Z")
