"""Scheduled training: whatever happens, no machine is left, and the verdict is right.

What stands in for what: `tests.control.compute` for Compute Engine, fake-gcs-server for Cloud
Storage. The client libraries are the real ones.
"""

# pyright: reportPrivateUsage=false

import json
import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import google.auth
import pytest
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage

from control_image import __main__ as program
from control_image.compute import Compute as Client
from control_image.compute import Refused
from control_image.retrain import DELETING
from pipeline import layout, run_lease
from pipeline.errors import UserError
from pipeline.runs import read_accounts, read_verdict
from pipeline.store import Object, Store
from pipeline.worker import Worker
from tests.control.compute import PROJECT, Compute, Machine, Refusal, serving
from tests.control.retraining import (
    EXECUTION,
    RUN,
    START,
    Identity,
    Time,
    World,
    declared,
    environment,
    templates,
)
from tests.google_api import authenticate

ZONES = [f"europe-west4-{letter}" for letter in "abc"]
STOCK_OUT = Refusal(
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
    "The zone 'projects/p/zones/z' does not have enough: {\"g2\": 'none'} # try later",
)
FIRST, FALLBACK = templates()


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The program leaves signals ignored, as it is about to end; this process is not."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def world(
    bucket_factory: Callable[[], storage.Bucket], monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """Two accounts with news, and zones that have machines, which train and power off."""
    clock = Time(START)
    data, models = (Store(bucket_factory(), timeout=5) for _ in range(2))
    with serving(Compute(templates())) as compute:
        authenticate(monkeypatch, Identity(), PROJECT)
        monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", f"{compute.url}/")
        world = World(compute, data, models, clock)
        world.declare("keeper")
        world.declare("baker")
        compute.life = world.finishes(keeper="live", baker="skipped")
        clock.on_sleep = compute.time_passed
        yield world


# A run that goes well


def test_a_run_trains_and_leaves_nothing(world: World) -> None:
    world.succeeds()
    (machine,) = world.compute.started
    assert (machine.name, machine.zone) == (RUN, ZONES[0])


def test_an_insert_keeps_all_that_the_template_says(world: World) -> None:
    world.succeeds()
    (machine,) = world.compute.started
    assert machine.properties == {**templates()[FIRST], "name": machine.name}
    keys = [item["key"] for item in machine.properties["metadata"]["items"]]
    assert "user-data" in keys


def test_the_lease_names_the_run_and_outlasts_it(world: World) -> None:
    seen: list[dict[str, str]] = []

    def look() -> None:
        found = world.models.read(layout.run_lease())
        assert found is not None
        seen.append(json.loads(found.data))
        world.compute.time_passed()

    world.time.on_sleep = look
    world.succeeds()
    expires = "2026-11-30T07:00:00.250000Z"
    assert seen[0] == {"version": 2, "run": RUN, "expires": expires, "by": "schedule"}


def test_the_job_may_take_longer_than_all_that_it_waits_for() -> None:
    job = declared().one("gcp:cloudrunv2/job:Job", "retrain")
    timeout = int(job.inputs["template"]["template"]["timeout"].removesuffix("s"))
    seconds = int(environment()["SECONDS"])
    assert timeout > seconds + DELETING.total_seconds() + 600
    # The longest that a stack file may ask for, and what Cloud Run gives a task at most.
    # Source: https://docs.cloud.google.com/run/docs/configuring/task-timeout
    assert timeout + (72 - 4) * 3600 < 168 * 3600


# News


def test_without_news_no_machine_is_made_and_no_lease_taken(world: World) -> None:
    world.released("keeper")
    world.released("baker")
    world.collect("keeper", 19, first_id=2000)  # of 20
    assert world.run() == []
    assert world.compute.inserts == []
    assert world.models.names("leases/") == world.models.names(layout.all_runs()) == []


@pytest.mark.parametrize("why", ["enough new tweets", "other settings", "no release yet"])
def test_only_accounts_with_news_are_trained(world: World, why: str) -> None:
    world.released("baker")
    if why != "no release yet":
        world.released("keeper", **({"steps": 7} if why == "other settings" else {}))
    if why == "enough new tweets":
        world.collect("keeper", 20, first_id=2000)
    world.succeeds()
    begun = read_accounts(world.models, RUN)
    assert begun is not None
    assert begun.accounts == ["keeper"]


def test_an_account_with_too_few_tweets_is_not_trained(world: World) -> None:
    world.declare("new", tweets=19)
    world.succeeds()
    begun = read_accounts(world.models, RUN)
    assert begun is not None
    assert begun.accounts == ["baker", "keeper"]


def test_an_account_that_cannot_be_looked_at_fails_the_run_and_no_other_account(
    world: World,
) -> None:
    world.models.write(layout.live_pointer("baker"), b"{}", generation=0)
    failure = world.fails()
    assert re.match(r"baker failed, gs://.*/rollout/live/baker\.json: release", failure)
    begun = read_accounts(world.models, RUN)
    assert begun is not None
    assert begun.accounts == ["keeper"]
    assert len(world.compute.started) == 1


def test_there_are_no_more_machines_than_accounts_to_train(world: World) -> None:
    world.succeeds(workers=5)
    assert [m.name for m in world.compute.started] == [f"{RUN}-1of2", f"{RUN}-2of2"]


# Shortages and refusals


def test_a_stock_out_leads_to_the_next_zone(world: World) -> None:
    world.compute.refuse = lambda zone, template, name: STOCK_OUT if zone == ZONES[0] else None
    world.succeeds()
    assert [zone for zone, _ in world.compute.inserts] == ZONES[:2]


def test_without_a_machine_in_any_zone_the_run_fails_and_says_where(world: World) -> None:
    world.compute.refuse = lambda zone, template, name: STOCK_OUT
    failure = world.fails()
    assert all(failure.count(zone) == 2 for zone in ZONES)
    assert "ZONE_RESOURCE_POOL_EXHAUSTED" in failure
    assert world.compute.inserts == [(z, t) for t in (FIRST, FALLBACK) for z in ZONES]


@pytest.mark.parametrize(
    "quota",
    [
        Refusal("QUOTA_EXCEEDED", "Quota 'NVIDIA_L4_GPUS' exceeded.  Limit: 0.0 in region"),
        Refusal("quotaExceeded", "Quota 'GPUS_ALL_REGIONS' exceeded: \"0\"", status=403),
        Refusal("rateLimitExceeded", "too fast", status=429),
    ],
    ids=["operation", "403", "429"],
)
def test_a_quota_leads_to_the_next_hardware(world: World, quota: Refusal) -> None:
    world.compute.refuse = lambda zone, template, name: quota if template == FIRST else None
    world.succeeds()
    (machine,) = world.compute.started
    assert (machine.template, machine.zone) == (FALLBACK, ZONES[0])


def test_an_operations_other_error_fails_at_once(world: World) -> None:
    text = "it's \"broken\": {no: 'yaml'} # ${args.zones} \\ %s\n- really"
    world.compute.refuse = lambda zone, template, name: Refusal("RESOURCE_NOT_READY", text)
    failure = world.fails()
    assert failure == f"{RUN} could not be started in {ZONES[0]}, RESOURCE_NOT_READY {text}"
    assert len(world.compute.inserts) == 1


def test_a_refused_insert_fails_at_once_and_names_the_permission(world: World) -> None:
    text = "Required 'compute.instances.create' permission for 'projects/p/zones/z/instances/x'"
    world.compute.refuse = lambda zone, template, name: Refusal("forbidden", text, status=403)
    assert f"HTTP 403 {text} forbidden" in world.fails()
    assert len(world.compute.inserts) == 1


def test_a_template_that_is_gone_fails_the_run(world: World) -> None:
    world.compute.templates = {}
    assert f"HTTP 404 The resource '{FIRST}' was not found" in world.fails()


def test_no_machine_is_looked_for_after_the_runs_time(world: World) -> None:
    def much_later(zone: str, template: str, name: str) -> Refusal:
        world.time.at += timedelta(hours=5)
        return Refusal("quotaExceeded", "Quota exceeded", status=403)

    world.compute.refuse = much_later
    assert "the run's time is over" in world.fails()
    assert len(world.compute.inserts) == 1


def test_a_name_that_is_taken_is_the_runs_own_machine(world: World) -> None:
    # The answer to the insert is lost, and the insert sent again.
    world.compute.faults = [("POST", 0)]
    world.succeeds()
    assert len(world.compute.inserts) == 2
    assert len(world.compute.started) == 1


@pytest.mark.parametrize("fault", [("POST", 503), ("GET", 500), ("GET", 0), ("DELETE", 502)])
def test_a_call_that_fails_once_is_repeated(world: World, fault: tuple[str, int]) -> None:
    world.compute.faults = [fault]
    world.succeeds()


def test_a_call_that_always_fails_ends_in_one_line(world: World) -> None:
    world.compute.faults = [("GET", 0)] * 6
    with pytest.raises(Refused, match=r"^no response from Compute Engine \(ConnectionError\)$"):
        world.run()
    world.left_nothing()


# How machines end


def test_a_machine_that_never_ends_is_deleted_at_the_deadline(world: World) -> None:
    world.compute.life = lambda machine: None
    assert world.fails() == f"{RUN} was still running at the deadline without a result"
    assert 4.5 < (world.time.at - START) / timedelta(hours=1) < 4.6


def test_a_machine_that_vanished_without_a_result_is_a_failure(world: World) -> None:
    def taken_away(machine: Machine) -> None:
        machine.status = "GONE"

    world.compute.life = taken_away
    assert world.fails() == f"{RUN} was deleted without a result"


def test_a_machine_that_vanished_after_its_result_has_done_its_work(world: World) -> None:
    def vanish(machine: Machine) -> None:
        world.result(machine.name, keeper="live")
        machine.status = "GONE"

    world.compute.life = vanish
    world.succeeds()


def test_a_machine_that_powered_off_without_a_result_is_a_failure(world: World) -> None:
    def power_off(machine: Machine) -> None:
        machine.status = "TERMINATED"

    world.compute.life = power_off
    assert world.fails() == f"{RUN} powered off without a result"


def test_a_machine_that_cannot_be_watched_is_judged_by_its_result(world: World) -> None:
    def hide(machine: Machine) -> None:
        if machine.age == 2:  # the first look is at the insert's operation
            world.compute.faults = [("GET", 403)]

    world.compute.life = hide
    assert "could not be watched, HTTP 403" in world.fails()


def test_a_result_that_cannot_be_read_is_a_failure(world: World) -> None:
    def scribble(machine: Machine) -> None:
        world.models.write(layout.run_result(machine.name), b"{}", generation=0)
        machine.status = "TERMINATED"

    world.compute.life = scribble
    assert world.fails().startswith(f"{RUN} has a result that cannot be read, gs://")


def test_an_account_that_failed_fails_the_run_and_gives_its_reason(world: World) -> None:
    world.compute.life = world.finishes(keeper="failed", baker="live")
    assert world.fails() == f'{RUN} keeper failed, it\'s "odd": yes'


@pytest.mark.parametrize("outcome", ["live", "passed", "refused", "skipped", "busy"])
def test_no_other_outcome_of_an_account_is_a_failure(world: World, outcome: str) -> None:
    world.compute.life = world.finishes(keeper=outcome)
    world.succeeds()


# One run at a time


def test_nothing_is_trained_while_another_run_holds_the_lease(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.holds_lease("train-prod-by-hand", timedelta(minutes=20))
    held = world.models.read(layout.run_lease())
    assert world.run() == []
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if "WARNING" in line]
    assert "run train-prod-by-hand has leases/run.json until 2026-11-30 02:20" in warning
    assert world.compute.inserts == []
    assert world.models.read(layout.run_lease()) == held


def test_a_run_that_may_not_read_the_lease_begins_nothing(world: World) -> None:
    class Forbidden(Store):
        def read(self, name: str) -> Object | None:
            if name == layout.run_lease():
                raise UserError("bucket b: cannot read leases/run.json: no")
            return super().read(name)

    world.models = Forbidden(world.models._bucket, timeout=5)
    with pytest.raises(UserError, match=r"cannot read leases/run\.json"):
        world.run()
    assert world.compute.inserts == []


def test_a_lease_that_expired_binds_nobody(world: World) -> None:
    world.holds_lease("train-prod-by-hand", -timedelta(seconds=1))
    world.succeeds()
    assert len(world.compute.started) == 1


def test_a_second_execution_beside_the_first_trains_nothing(world: World) -> None:
    beside: list[list[str]] = []

    def at_the_same_moment() -> None:
        if not beside:
            beside.append(world.run(execution="prod-retrain-other", time=Time(START)))
        world.compute.time_passed()

    world.time.on_sleep = at_the_same_moment
    world.succeeds()
    assert beside == [[]]
    assert len(world.compute.started) == 1


# Workers


def test_workers_share_a_run(world: World) -> None:
    world.succeeds(workers=2)
    assert [m.name for m in world.compute.started] == [f"{RUN}-1of2", f"{RUN}-2of2"]


def test_the_trainer_on_a_machine_finds_the_lease_to_be_its_own_runs(world: World) -> None:
    trained: list[str] = []

    def train(machine: Machine) -> None:
        worker = Worker.parse(machine.name)
        longest = timedelta(hours=4)
        with run_lease.held(world.models, worker, longest, world.time.now):
            trained.append(worker.run)
        world.finishes(keeper="live")(machine)

    world.compute.life = train
    world.succeeds(workers=2)
    assert set(trained) == {RUN}


def test_one_worker_that_fails_fails_the_run_once_all_have_ended(world: World) -> None:
    def life(machine: Machine) -> None:
        if machine.name.endswith("-1of2"):
            machine.status = "TERMINATED"
        else:
            world.finishes(keeper="live")(machine)

    world.compute.life = life
    assert world.fails(workers=2) == f"{RUN}-1of2 powered off without a result"
    assert world.models.read(layout.run_result(f"{RUN}-2of2")) is not None


def test_a_worker_that_no_zone_has_a_machine_for_fails_the_run_after_the_others(
    world: World,
) -> None:
    world.compute.refuse = lambda zone, template, name: (
        STOCK_OUT if name.endswith("-2of2") else None
    )
    assert f"{RUN}-2of2 found no machine" in world.fails(workers=2)
    assert world.models.read(layout.run_result(f"{RUN}-1of2")) is not None


# Deleting


def test_a_machine_that_cannot_be_deleted_keeps_the_lease(world: World) -> None:
    world.compute.faults = [("DELETE", 500)] * 6 * len(ZONES)
    (first, *_) = world.run()
    assert first.startswith(f"{RUN} is left in europe-west4-a, HTTP 500")
    assert world.models.read(layout.run_lease()) is not None
    assert len(world.compute.machines) == 1


def test_machines_that_are_left_over_are_deleted_by_the_next_execution(world: World) -> None:
    world.compute.faults = [("DELETE", 500)] * 6 * len(ZONES)
    world.run()
    world.time.at += timedelta(hours=6)
    world.compute.life = world.finishes(keeper="live", baker="live")
    world.succeeds(execution="prod-retrain-later")
    assert len(world.compute.started) == 2


def test_machines_of_an_ended_run_are_deleted_although_it_has_the_lease(
    world: World,
) -> None:
    world.compute.faults = [("DELETE", 500)] * 6 * len(ZONES)
    world.run()
    world.time.at += timedelta(hours=1)
    assert world.run(execution="prod-retrain-later") == []
    assert world.compute.machines == {}


@pytest.mark.parametrize("zone", [ZONES[1], "us-central1-a"])
def test_machines_of_runs_that_are_over_are_deleted_in_all_zones_without_news(
    world: World, zone: str
) -> None:
    world.released("keeper")
    world.released("baker")
    over = "train-prod-20261123t020000-aaaaa"
    world.models.write(
        layout.run_accounts(over),
        b'{"accounts": [], "deadline": "2026-11-23T07:00:00Z"}',
        generation=0,
    )
    for machine in (f"{over}-1of2", f"{over}-2of2"):
        world.compute.add(machine, zone)
    assert world.run() == []
    world.left_nothing()


@pytest.mark.parametrize(
    "name",
    [
        "train-prod-2026-11-23",  # by hand: Pulumi deletes it
        "train-prod-by-hand-1of2",
        "train-production-20261123t020000-aaaaa",  # of another stack
        "train-prod-9of2",
        "web",
    ],
)
def test_machines_of_other_runs_are_left_alone(world: World, name: str) -> None:
    world.compute.add(name, ZONES[0], status="TERMINATED")
    assert world.run() == []
    assert list(world.compute.machines) == [(ZONES[0], name)]


def test_machines_of_the_run_with_the_lease_are_left_alone(world: World) -> None:
    other = "train-prod-20261130t015900-other"
    world.models.write(
        layout.run_accounts(other),
        b'{"accounts": [], "deadline": "2026-11-30T07:00:00Z"}',
        generation=0,
    )
    world.holds_lease(other, timedelta(hours=1), by="schedule")
    world.compute.add(other, ZONES[0])
    assert world.run() == []
    assert list(world.compute.machines) == [(ZONES[0], other)]


# An execution that is stopped, killed, or started again


@pytest.mark.parametrize("moment", [0, 1, 4])
def test_an_execution_that_is_told_to_stop_deletes_its_machines_at_once(
    world: World, moment: int
) -> None:
    sleeps: list[None] = []
    stopped_at: list[timedelta] = []

    def stop() -> None:
        sleeps.append(None)
        if len(sleeps) == moment + 1:
            stopped_at.append(world.time.at - START)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)  # the handler runs between two instructions
        world.compute.time_passed()

    world.compute.life = lambda machine: None
    world.time.on_sleep = stop
    assert "the execution was told to stop" in world.fails(workers=2)
    # Cloud Run ends it 10 seconds later.
    assert world.time.at - START == stopped_at[0]


def test_a_second_signal_does_not_cut_the_deleting_off(world: World) -> None:
    def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def delete_slowly(machine: Machine) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    world.time.on_sleep = stop
    world.compute.life = delete_slowly
    assert "told to stop" in world.fails()


def test_the_next_attempt_continues_the_run_of_a_killed_one(world: World) -> None:
    world.killed_at_sleep(3, workers=2)
    assert len(world.compute.machines) == 2
    inserted = list(world.compute.inserts)
    world.time.at += timedelta(minutes=1)
    world.succeeds(workers=2)
    assert world.compute.inserts == inserted


def test_the_machine_of_a_killed_attempt_is_found_in_its_zone(world: World) -> None:
    world.compute.refuse = lambda zone, template, name: STOCK_OUT if zone != ZONES[2] else None
    world.killed_at_sleep(4)
    world.compute.refuse = lambda zone, template, name: None
    world.succeeds()
    assert [machine.zone for machine in world.compute.started] == [ZONES[2]]


def test_a_killed_attempts_run_keeps_its_deadline(world: World) -> None:
    world.compute.life = lambda machine: None
    world.killed_at_sleep(30)
    world.fails()
    assert 4.5 < (world.time.at - START) / timedelta(hours=1) < 4.6


def test_an_attempt_that_was_killed_before_its_first_machine_goes_on_with_its_run(
    world: World,
) -> None:
    world.compute.faults = [("POST", 503)]
    world.killed_at_sleep(1)
    world.succeeds()
    assert [machine.name for machine in world.compute.started] == [RUN]


@pytest.mark.parametrize("end", ["failed", "off"])
def test_an_attempt_of_a_run_that_has_ended_says_the_same_and_trains_nothing(
    world: World, end: str
) -> None:
    def power_off(machine: Machine) -> None:
        machine.status = "TERMINATED"

    world.compute.life = power_off if end == "off" else world.finishes(keeper="failed")
    failure = world.fails()
    world.time.at += timedelta(minutes=1)
    assert world.fails() == failure
    assert len(world.compute.started) == 1
    verdict = read_verdict(world.models, RUN)
    assert verdict is not None
    assert "; ".join(verdict.problems) == failure


def test_an_execution_never_continues_the_run_of_an_earlier_one_whose_name_ends_alike(
    world: World,
) -> None:
    world.succeeds()
    world.time.at += timedelta(days=8)
    world.collect("keeper", 30, first_id=2000)
    world.succeeds()
    assert len({machine.name for machine in world.compute.started}) == 2


# Everything at once


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_nothing_is_left_and_the_verdict_is_right(world: World, seed: int) -> None:
    chance = random.Random(seed)
    answers = {
        (zone, template, worker): chance.choice([None, STOCK_OUT, STOCK_OUT, Refusal("BROKEN")])
        for zone in ZONES
        for template in (FIRST, FALLBACK)
        for worker in ("1", "2")
    }
    lives = {worker: chance.choice(["live", "failed", "off", "gone"]) for worker in ("1", "2")}

    def worker_of(name: str) -> str:
        return name.rpartition("-")[2][0]

    def life(machine: Machine) -> None:
        end = lives[worker_of(machine.name)]
        if end in ("live", "failed"):
            world.finishes(keeper=end)(machine)
        else:
            machine.status = {"off": "TERMINATED", "gone": "GONE"}[end]

    def succeeds(worker: str) -> bool:
        tried = (answers[z, t, worker] for t in (FIRST, FALLBACK) for z in ZONES)
        first = next((answer for answer in tried if answer is not STOCK_OUT), STOCK_OUT)
        return first is None and lives[worker] == "live"

    world.compute.refuse = lambda zone, template, name: answers[zone, template, worker_of(name)]
    world.compute.life = life
    if all(map(succeeds, lives)):
        world.succeeds(workers=2)
    else:
        failure = world.fails(workers=2)
        assert {w: f"-{w}of2" not in failure for w in lives} == {w: succeeds(w) for w in lives}


# The program


def test_without_credentials_the_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise DefaultCredentialsError("…")

    monkeypatch.setattr(google.auth, "default", nobody)
    with pytest.raises(UserError, match=r"^there are no Google credentials here"):
        Client.open(PROJECT, lambda: START, lambda seconds: None)


def test_the_program_reads_what_is_declared_and_its_status_tells(
    world: World,
    gcs_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {
        **environment(),
        **gcs_environment,
        "DATA_BUCKET": world.data.bucket_name,
        "MODELS_BUCKET": world.models.bucket_name,
        "CLOUD_RUN_EXECUTION": EXECUTION,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    def pass_time(_seconds: float) -> None:
        world.compute.time_passed()

    monkeypatch.setattr("sys.argv", ["control_image", "retrain"])
    monkeypatch.setattr("time.sleep", pass_time)
    assert program.main() == 0
    (machine,) = world.compute.started
    assert re.fullmatch(r"train-prod-[0-9]{8}t[0-9]{6}-x7k2p", machine.name)
    world.left_nothing()

    world.compute.life = world.finishes(keeper="failed")
    monkeypatch.setenv("CLOUD_RUN_EXECUTION", "prod-retrain-later")
    assert program.main() == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["severity"] == "ERROR"
    assert 'keeper failed, it\'s "odd": yes' in last["message"]
