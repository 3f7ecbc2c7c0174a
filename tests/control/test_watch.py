"""What the watcher asks for again, and what it reports: each rule on a clock of its own."""

# pyright: reportPrivateUsage=false

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud import storage

from control_image.bundle import Wanted
from control_image.watch import Image, Watcher, ask_again, overdue
from pipeline import documents, events, last_collection, layout, release, slots
from pipeline.declared import Declared
from pipeline.errors import UserError
from pipeline.release import BasePointer
from pipeline.runs import RunResult, write_result
from pipeline.slots import Slot
from pipeline.store import Store
from tests.stacks.recorder import declare, stack_values

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TAG = "20261123T101500Z-1a2b3c4d"
OTHER = "20261124T101500Z-5e6f7a8b"
BASE = "registry/app@sha256:" + "b" * 64
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@dataclass
class World:
    """A stack with one account: two real buckets, a registry of tags, a clock, a log."""

    data: Store
    models: Store
    capsys: pytest.CaptureFixture[str]
    now: datetime = NOON
    tags: dict[str, str] = field(default_factory=dict[str, str])
    announced: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])
    kept_alive: list[datetime] = field(default_factory=list[datetime])
    broken: bool = False

    def digest(self, image: str, tag: str) -> str | None:
        if self.broken:
            raise UserError("the registry does not answer")
        return self.tags.get(f"{image}:{tag}")

    def keep_alive(self) -> None:
        if self.broken:
            raise UserError("Pub/Sub does not answer")
        self.kept_alive.append(self.now)

    def announce(self, bucket: str, name: str, generation: int, at: datetime) -> None:
        assert at == self.now
        self.announced.append((bucket, name, generation))

    def look(self) -> int:
        return Watcher(self.data, self.models, self, self, lambda: self.now).run()

    def logged(self) -> list[dict[str, Any]]:
        """The lines that an alert listens for, since the last call."""
        lines = [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]
        return [line for line in lines if "event" in line]

    def looks(self, *, every: timedelta, until: datetime) -> dict[datetime, list[str]]:
        """Look again and again; the events by the time of the look, where there are any."""
        found: dict[datetime, list[str]] = {}
        while self.now <= until:
            self.look()
            if lines := self.logged():
                found[self.now] = [
                    f"{line.get('account') or line['run']} {line['event']}" for line in lines
                ]
            self.now += every
        return found

    def declare(
        self, name: str = "keeper", post: str | None = None, collect: str | None = None
    ) -> None:
        document = {"time_zone": "Europe/London", "post": post, "collect": collect}
        self.put(self.data, layout.declared(name), document)

    def put(self, store: Store, name: str, document: object) -> None:
        found = store.read(name)
        data = json.dumps(document).encode()
        store.write(name, data, generation=found.generation if found else 0)

    def release(self, tag: str = TAG, base: str = BASE) -> None:
        found = self.models.read(layout.live_pointer("keeper"))
        generation = found.generation if found else 0
        release.move_live(self.models, "keeper", tag, "test", generation, self.now)
        self.put(self.models, layout.base_pointer("keeper"), {"base": base, "seed": "x"})

    def built(self, tag: str = TAG) -> None:
        self.tags[f"keeper:{layout.image_tag(tag, BASE)}"] = tag

    def live(self, tag: str = TAG) -> None:
        self.tags["keeper:live"] = tag

    def posted(self, at: datetime, state: Any = "posted") -> None:
        record = Slot(state=state, execution="e", nonce="n", at=at, expires=at)
        slots.write(self.data, "keeper", slots.name(at), record, generation=0)

    def collected(self, at: datetime) -> None:
        self.put(self.data, layout.collected("keeper"), {"at": at.isoformat()})


@pytest.fixture
def world(
    bucket_factory: Callable[[], storage.Bucket], capsys: pytest.CaptureFixture[str]
) -> World:
    return World(Store(bucket_factory(), timeout=5), Store(bucket_factory(), timeout=5), capsys)


# Images.


def test_the_watcher_and_the_build_give_a_pairs_image_the_same_name() -> None:
    assert layout.image_tag(TAG, BASE) == Wanted("keeper", TAG, BASE).tag


def test_before_the_first_release_no_event_is_sent(world: World) -> None:
    world.declare()
    world.put(world.models, layout.base_pointer("keeper"), {"base": BASE, "seed": "x"})
    assert world.look() == 0
    assert world.announced == []


def test_no_event_is_sent_if_live_is_the_wanted_image(world: World) -> None:
    world.declare()
    world.release()
    world.built()
    world.live()
    world.look()
    assert world.announced == []


@pytest.mark.parametrize("state", ["not built", "built and not live", "another base"])
def test_if_live_is_not_the_wanted_image_the_pointers_event_is_sent(
    world: World, state: str
) -> None:
    world.declare()
    world.release(base=BASE.replace("b", "c") if state == "another base" else BASE)
    if state != "not built":
        world.built()
    world.live(TAG if state == "another base" else "seed")
    world.look()
    pointer = world.models.read("rollout/live/keeper.json")
    assert pointer is not None
    assert world.announced == [(world.models.bucket_name, pointer.name, pointer.generation)]


def test_the_event_is_sent_at_growing_intervals_and_reported_after_an_hour(world: World) -> None:
    world.declare()
    world.release()
    asked: list[float] = []
    first_report: float | None = None
    for quarters in range(4 * 24):
        world.now = NOON + quarters * timedelta(minutes=15)
        before = len(world.announced)
        world.look()
        if len(world.announced) > before:
            asked.append(quarters / 4)
        if first_report is None and events.IMAGE_STALE in {e["event"] for e in world.logged()}:
            first_report = quarters / 4
    assert asked == [0, 0.5, 1, 2, 4, 8, 16]
    assert first_report == 1


def test_another_release_gets_its_event_at_once_and_a_mended_one_is_forgotten(world: World) -> None:
    world.declare()
    world.release()
    world.look()
    world.now += 2 * HOUR
    world.release(OTHER)
    world.look()
    assert len(world.announced) == 2
    assert world.logged() == []
    world.built(OTHER)
    world.live(OTHER)
    world.now += DAY
    world.look()
    assert world.logged() == []
    assert len(world.announced) == 2


def test_the_wait_is_never_shorter_than_a_build() -> None:
    image = Image(tag=TAG, since=NOON, asked=NOON)
    assert not ask_again(image, NOON + timedelta(minutes=29))
    assert ask_again(image, NOON + timedelta(minutes=30))


# Silence.


def test_a_daily_account_that_posts_is_never_reported(world: World) -> None:
    world.declare(post="0 9 * * *")
    for day in range(1, 8):
        world.posted(NOON.replace(hour=9) + day * DAY)
    assert world.looks(every=HOUR, until=NOON + 7 * DAY) == {}


def test_an_account_gone_silent_is_reported_from_twice_its_period_on(world: World) -> None:
    world.declare(post="0 9 * * *")
    world.posted(NOON.replace(hour=9) + DAY)
    found = world.looks(every=HOUR, until=NOON + 4 * DAY)
    # Two ticks after the last post, and an hour for the second one's job.
    assert min(found) == NOON.replace(hour=10) + 3 * DAY
    assert found[min(found)] == ["keeper silent"]


def test_an_account_that_never_had_a_success_is_reported_too(world: World) -> None:
    world.declare(post="0 9 * * *", collect="0 5 * * *")
    found = world.looks(every=HOUR, until=NOON + 3 * DAY)
    assert min(found) == NOON.replace(hour=6) + 2 * DAY
    assert found[NOON.replace(hour=10) + 2 * DAY] == ["keeper silent", "keeper silent"]


@pytest.mark.parametrize("state", ["claimed", "intended", "refused", "unknown", "nothing"])
def test_a_slot_without_a_certain_post_is_no_success(world: World, state: str) -> None:
    world.declare(post="0 9 * * *")
    for day in (1, 2):
        world.posted(NOON.replace(hour=9) + day * DAY, state)
    assert world.looks(every=HOUR, until=NOON + 2 * DAY)


def test_collecting_is_measured_by_its_last_success(world: World) -> None:
    world.declare(collect="0 5 * * *")
    world.look()
    world.collected(NOON.replace(hour=5) + DAY)
    found = world.looks(every=HOUR, until=NOON + 4 * DAY)
    assert min(found) == NOON.replace(hour=6) + 3 * DAY


def test_a_state_that_stops_collecting_is_not_reported_again_while_the_job_sees_it(
    world: World,
) -> None:
    world.declare(collect="0 5 * * *")
    world.look()
    for day in range(1, 5):
        at = NOON.replace(hour=5) + day * DAY
        last_collection.stopped(world.data, "keeper", "no credits", "buy some", at)
        assert world.looks(every=6 * HOUR, until=at + DAY) == {}
    # Then the job no longer runs.
    found = world.looks(every=HOUR, until=NOON + 8 * DAY)
    assert min(found) == NOON.replace(hour=6) + 6 * DAY
    assert found[min(found)] == ["keeper silent"]


def test_success_ends_the_reports(world: World) -> None:
    world.declare(post="0 9 * * *")
    assert world.looks(every=6 * HOUR, until=NOON + 2 * DAY)
    world.posted(NOON.replace(hour=9) + 3 * DAY)
    world.now = NOON.replace(hour=10) + 3 * DAY
    assert world.looks(every=HOUR, until=NOON + 4 * DAY) == {}


def test_a_changed_schedule_is_measured_from_the_change_on(world: World) -> None:
    world.declare(post="0 9 * * 1", collect="0 5 * * 1")
    world.collected(NOON)
    world.look()
    world.now += 5 * DAY
    world.declare(post="0 9 * * *", collect="0 5 * * *")
    assert world.looks(every=HOUR, until=world.now + DAY) == {}


def test_an_account_that_is_added_again_is_measured_from_then_on(world: World) -> None:
    world.declare(post="0 9 * * *")
    world.look()
    world.data._bucket.blob(layout.declared("keeper")).delete()
    world.now += 5 * DAY
    world.look()
    world.declare(post="0 9 * * *")
    assert world.looks(every=HOUR, until=world.now + DAY) == {}


def test_what_is_not_scheduled_is_never_silent(world: World) -> None:
    world.declare()
    assert world.looks(every=DAY, until=NOON + 30 * DAY) == {}


@pytest.mark.parametrize(
    ("schedule", "time_zone", "success", "from_then_on"),
    [
        # A day of 25 hours (London, 25 October 2026) and one of 23 (28 March 2027).
        ("0 9 * * *", "Europe/London", "2026-10-24T08:00Z", "2026-10-26T10:00Z"),
        ("0 9 * * *", "Europe/London", "2027-03-27T09:00Z", "2027-03-29T09:00Z"),
        # A tick within the skipped hour comes right after it.
        ("30 1 * * *", "Europe/London", "2027-03-27T01:30Z", "2027-03-29T01:30Z"),
        # Uneven periods: the two ticks that follow.
        ("0 9,17 * * *", "Etc/UTC", "2026-11-23T09:00Z", "2026-11-24T10:00Z"),
        ("0 9,17 * * *", "Etc/UTC", "2026-11-23T17:00Z", "2026-11-24T18:00Z"),
        ("0 9 * * 1", "Etc/UTC", "2026-11-23T09:00Z", "2026-12-07T10:00Z"),
    ],
)
def test_two_ticks_are_counted_through_changed_clocks(
    schedule: str, time_zone: str, success: str, from_then_on: str
) -> None:
    since, then = datetime.fromisoformat(success), datetime.fromisoformat(from_then_on)
    assert not overdue(schedule, time_zone, since, then - timedelta(minutes=1))
    assert overdue(schedule, time_zone, since, then)


# What starts the builds.


def test_the_trigger_gets_a_message_every_week(world: World) -> None:
    world.looks(every=DAY, until=NOON + 40 * DAY)
    assert world.kept_alive == [NOON + weeks * 7 * DAY for weeks in range(6)]
    assert world.announced == []


def test_a_state_without_the_last_message_is_read(world: World) -> None:
    world.put(world.data, layout.watch_state(), {"tasks": {}, "images": {}, "unknown": 1})
    assert world.look() == 0
    assert world.kept_alive == [NOON]


def test_a_message_that_did_not_go_out_is_sent_by_the_next_look(world: World) -> None:
    world.look()
    world.now += 7 * DAY
    world.broken = True
    assert world.look() == 1
    world.broken = False
    world.now += HOUR
    assert world.look() == 0
    assert world.kept_alive == [NOON, NOON + 7 * DAY + HOUR]


# What goes wrong.


def test_an_account_that_cannot_be_looked_at_does_not_hide_the_others(world: World) -> None:
    world.declare("aaa", post="0 9 * * *")
    world.declare(post="0 9 * * *")
    world.look()
    world.put(world.data, layout.declared("aaa"), {"post": 3})
    world.now += 3 * DAY
    assert world.look() == 1
    lines = [json.loads(line) for line in world.capsys.readouterr().out.splitlines()]
    assert [e["account"] for e in lines if e.get("event") == events.SILENT] == ["keeper"]
    assert any("accounts/aaa.json" in e["message"] for e in lines)


def test_what_was_known_of_an_account_survives_a_look_that_failed(world: World) -> None:
    world.declare()
    world.release()
    world.look()
    world.broken = True
    world.now += HOUR / 2
    assert world.look() == 1
    world.broken = False
    world.now += HOUR / 2
    world.look()
    assert [e["event"] for e in world.logged()] == [events.IMAGE_STALE]


def test_the_state_keeps_unknown_keys(world: World) -> None:
    world.declare(post="0 9 * * *")
    world.look()
    found = world.data.read(layout.watch_state())
    assert found is not None
    state = json.loads(found.data) | {"version": 2, "budget": 3}
    state["tasks"]["keeper"]["post"]["owner"] = "ada"
    world.put(world.data, layout.watch_state(), state)
    world.now += 8 * DAY
    world.look()
    found = world.data.read(layout.watch_state())
    assert found is not None
    state["kept_alive"] = world.now.isoformat().replace("+00:00", "Z")
    assert json.loads(found.data) == state


def test_what_the_program_declares_is_what_the_watcher_reads() -> None:
    objects = declare("dev", stack_values("dev")).of("gcp:storage/bucketObject:BucketObject")
    for name, model in (
        (layout.declared("keeper"), Declared),
        (layout.base_pointer("keeper"), BasePointer),
    ):
        contents: list[str | dict[str, str]] = [
            o.inputs["content"] for o in objects if o.inputs["name"] == name
        ]
        (content,) = contents
        text = content["value"] if isinstance(content, dict) else content
        assert documents.parse(model, text.encode(), name).model_extra == {}


def test_a_damaged_state_is_an_error_that_names_the_object(world: World) -> None:
    world.put(world.data, layout.watch_state(), {"tasks": 3})
    with pytest.raises(UserError, match=r"watch/state\.json"):
        world.look()


# Machines by hand.

ONE, TWO = "train-prod-first-1of2", "train-prod-first-2of2"


def by_hand(world: World, run: str = "first", machines: tuple[str, ...] = (ONE, TWO)) -> None:
    """What the program writes while the stack file names a run."""
    document = {"run": run, "machines": machines, "zone": "europe-west4-a", "hours": 4}
    world.put(world.data, layout.run_by_hand(run), document)


def removed(world: World, run: str = "first") -> None:
    found = world.data.read(layout.run_by_hand(run))
    assert found is not None
    world.data.delete(found.name, generation=found.generation)


def ended(world: World, machine: str) -> None:
    result = RunResult(run=machine, started=world.now, finished=world.now, accounts={})
    write_result(world.models, result)


def test_machines_by_hand_that_ended_are_reported_until_they_are_removed(world: World) -> None:
    by_hand(world)
    assert world.looks(every=HOUR, until=NOON + HOUR) == {}
    ended(world, ONE)
    assert world.looks(every=HOUR, until=NOON + 2 * HOUR) == {}
    ended(world, TWO)
    later = NOON + 3 * HOUR
    told = {later: ["first machine_left"], later + HOUR: ["first machine_left"]}
    assert world.looks(every=HOUR, until=later + HOUR) == told
    removed(world)
    assert world.looks(every=HOUR, until=later + 3 * HOUR) == {}


def test_a_machine_by_hand_without_a_result_is_reported_when_its_hours_have_passed(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand(world)
    ended(world, TWO)
    # Four hours, and one to start in.
    assert min(world.looks(every=HOUR, until=NOON + 6 * HOUR)) == NOON + 5 * HOUR
    world.look()
    said = capsys.readouterr().out
    assert ONE in said
    assert TWO not in said
    assert "europe-west4-a" in said
    assert "remove `run:`" in said


def test_another_run_by_hand_has_its_own_hours(world: World) -> None:
    by_hand(world)
    assert world.looks(every=HOUR, until=NOON + 4 * HOUR) == {}
    removed(world)
    by_hand(world, "second", ("train-prod-second",))
    assert world.looks(every=HOUR, until=NOON + 9 * HOUR) == {}
    assert [*world.looks(every=HOUR, until=NOON + 10 * HOUR).values()] == [["second machine_left"]]


def test_a_run_by_hand_that_cannot_be_read_does_not_hide_silent_accounts(world: World) -> None:
    world.declare(post="0 * * * *")
    world.look()
    world.put(world.data, layout.run_by_hand("first"), {"run": 1})
    world.now += 4 * HOUR
    assert world.look() == 1
    assert [line["event"] for line in world.logged()] == [events.SILENT]
