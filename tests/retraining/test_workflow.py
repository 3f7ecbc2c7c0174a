"""The declared workflow, run for real: whatever happens, no machine is left and the verdict right.

What stands in for what: `emulator` for Workflows, `compute` for Compute Engine, fake-gcs-server for
Cloud Storage.
"""

import json
import random
import re
from collections import Counter
from datetime import timedelta

import pytest
import yaml

from pipeline import layout, run_lease
from pipeline.worker import Worker
from tests.retraining.compute import Machine, Refusal
from tests.retraining.conftest import START, ZONES, World, source, templates
from tests.retraining.emulator import Clock, steps

STOCK_OUT = Refusal(
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
    "The zone 'projects/p/zones/z' does not have enough: {\"g2\": 'none'} # try later",
)
FIRST, FALLBACK = templates()


def test_a_run_trains_and_leaves_nothing(world: World) -> None:
    ended = world.run()
    assert ended["outcome"] == "succeeded"
    (machine,) = world.compute.started
    assert (machine.name, machine.zone) == (ended["run"], ZONES[0])
    assert re.fullmatch(r"train-prod-20261130t020000-[0-9a-f]{4}", machine.name)
    world.left_nothing()


def test_an_insert_keeps_all_that_the_template_says(world: World) -> None:
    world.run()
    (machine,) = world.compute.started
    assert machine.properties == {**templates()[FIRST], "name": machine.name}
    keys = [item["key"] for item in machine.properties["metadata"]["items"]]
    assert "user-data" in keys


def test_a_stock_out_leads_to_the_next_zone(world: World) -> None:
    world.compute.refuse = lambda zone, *_: STOCK_OUT if zone == ZONES[0] else None
    assert world.run()["outcome"] == "succeeded"
    assert [zone for zone, _ in world.compute.inserts] == ZONES[:2]
    world.left_nothing()


def test_without_a_machine_in_any_zone_the_run_fails_and_says_where(world: World) -> None:
    world.compute.refuse = lambda *_: STOCK_OUT
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
    assert world.run()["outcome"] == "succeeded"
    (machine,) = world.compute.started
    assert (machine.template, machine.zone) == (FALLBACK, ZONES[0])
    world.left_nothing()


def test_an_operations_other_error_fails_at_once(world: World) -> None:
    text = "it's \"broken\": {no: 'yaml'} # ${args.zones} \\ %s\n- really"
    world.compute.refuse = lambda *_: Refusal("RESOURCE_NOT_READY", text)
    failure = world.fails()
    assert "RESOURCE_NOT_READY" in failure
    assert json.dumps(text)[1:-1] in failure
    assert len(world.compute.inserts) == 1


def test_a_refused_insert_fails_at_once_and_names_the_permission(world: World) -> None:
    text = "Required 'compute.instances.create' permission for 'projects/p/zones/z/instances/x'"
    world.compute.refuse = lambda *_: Refusal("forbidden", text, status=403)
    assert text in world.fails()
    assert len(world.compute.inserts) == 1


def test_a_name_that_is_taken_is_the_runs_own_machine(world: World) -> None:
    # The answer to the insert is lost, and the insert sent again.
    world.compute.faults = [("POST", 0)]
    assert world.run()["outcome"] == "succeeded"
    assert len(world.compute.inserts) == 2
    assert len(world.compute.started) == 1
    world.left_nothing()


@pytest.mark.parametrize("fault", [("POST", 503), ("GET", 500), ("GET", 0), ("DELETE", 502)])
def test_a_call_that_fails_once_is_made_again(world: World, fault: tuple[str, int]) -> None:
    world.compute.faults = [fault]
    assert world.run()["outcome"] == "succeeded"
    world.left_nothing()


def test_a_machine_that_never_ends_is_deleted_at_the_deadline(world: World) -> None:
    world.compute.life = lambda machine: None
    failure = world.fails()
    assert "was still running at the deadline without a result" in failure
    hours = (world.clock.now - START) / timedelta(hours=1)
    assert 4.5 < hours < 4.6
    # The longest that a stack file may ask for, within Workflows' steps of an execution.
    # Source: https://cloud.google.com/workflows/quotas
    assert world.clock.steps / hours * (72 + 0.5) < 100_000


def test_a_machine_that_vanished_without_a_result_is_a_failure(world: World) -> None:
    def taken_away(machine: Machine) -> None:
        machine.status = "GONE"

    world.compute.life = taken_away
    assert "was deleted without a result" in world.fails()


def test_a_machine_that_vanished_after_its_result_has_done_its_work(world: World) -> None:
    def vanish(machine: Machine) -> None:
        world.result(machine.name, keeper="live")
        machine.status = "GONE"

    world.compute.life = vanish
    assert world.run()["outcome"] == "succeeded"
    world.left_nothing()


def test_a_machine_that_powered_off_without_a_result_is_a_failure(world: World) -> None:
    def power_off(machine: Machine) -> None:
        machine.status = "TERMINATED"

    world.compute.life = power_off
    assert "powered off without a result" in world.fails()


def test_an_account_that_failed_fails_the_run_and_gives_its_reason(world: World) -> None:
    world.compute.life = world.finishes(keeper="failed", baker="live")
    failure = world.fails()
    assert 'keeper failed, it\'s \\\\\\"odd\\\\\\": yes' in failure.replace('\\"', '\\\\\\"')
    assert "baker" not in failure


@pytest.mark.parametrize("outcome", ["live", "passed", "refused", "skipped", "busy"])
def test_no_other_outcome_of_an_account_is_a_failure(world: World, outcome: str) -> None:
    world.compute.life = world.finishes(keeper=outcome)
    assert world.run()["outcome"] == "succeeded"


def test_nothing_is_trained_while_another_run_holds_the_lease(world: World) -> None:
    world.holds_lease("train-prod-by-hand", timedelta(minutes=20))
    held = world.store.read(layout.run_lease())
    ended = world.run()
    assert ended["outcome"] == "skipped"
    assert "train-prod-by-hand holds the lease until 2026-11-30T02:20" in ended["reason"]
    assert world.compute.inserts == []
    assert world.store.read(layout.run_lease()) == held


def test_a_run_that_may_not_read_the_lease_begins_nothing(world: World) -> None:
    world.storage = world.compute.url
    world.compute.faults = [("GET", 403)]
    assert "the lease cannot be read, HTTP 403" in world.fails()
    assert world.compute.inserts == []


def test_a_lease_that_expired_binds_nobody(world: World) -> None:
    world.holds_lease("train-prod-by-hand", -timedelta(seconds=1))
    assert world.run()["outcome"] == "succeeded"
    assert len(world.compute.started) == 1
    world.left_nothing()


def test_a_second_execution_beside_the_first_trains_nothing(world: World) -> None:
    beside: list[str] = []

    def at_the_same_moment() -> None:
        if not beside:
            beside.append(world.run(clock=Clock(START))["outcome"])
        world.compute.time_passed()

    world.clock.on_sleep = at_the_same_moment
    assert world.run()["outcome"] == "succeeded"
    assert beside == ["skipped"]
    assert len(world.compute.started) == 1
    world.left_nothing()


def test_the_lease_names_the_run_and_outlasts_it(world: World) -> None:
    seen: list[dict[str, str]] = []

    def look() -> None:
        found = world.store.read(layout.run_lease())
        assert found is not None
        seen.append(json.loads(found.data))
        world.compute.time_passed()

    world.clock.on_sleep = look
    run = world.run()["run"]
    assert seen[0] == {"run": run, "expires": "2026-11-30T07:00:00.250000+00:00", "by": "workflow"}


def test_workers_share_a_run(world: World) -> None:
    run = world.run(workers=2)["run"]
    assert [m.name for m in world.compute.started] == [f"{run}-1of2", f"{run}-2of2"]
    world.left_nothing()


def test_the_trainer_on_a_machine_finds_the_lease_to_be_its_own_runs(world: World) -> None:
    trained: list[str] = []

    def train(machine: Machine) -> None:
        worker = Worker.parse(machine.name)
        longest = timedelta(hours=4)
        with run_lease.held(world.store, worker, longest, lambda: world.clock.now):
            trained.append(worker.run)
        world.finishes(keeper="live")(machine)

    world.compute.life = train
    run = world.run(workers=2)["run"]
    assert set(trained) == {run}
    world.left_nothing()


def test_one_worker_that_fails_fails_the_run_once_all_have_ended(world: World) -> None:
    def life(machine: Machine) -> None:
        if machine.name.endswith("-1of2"):
            machine.status = "TERMINATED"
        else:
            world.finishes(keeper="live")(machine)

    world.compute.life = life
    failure = world.fails(workers=2)
    assert "-1of2 powered off without a result" in failure
    assert "-2of2" not in failure
    assert world.store.read(layout.run_result(world.compute.started[1].name)) is not None


def test_a_worker_that_no_zone_has_a_machine_for_fails_the_run_after_the_others(
    world: World,
) -> None:
    world.compute.refuse = lambda zone, template, name: (
        STOCK_OUT if name.endswith("-2of2") else None
    )
    assert "-2of2 found no machine" in world.fails(workers=2)
    assert world.store.read(layout.run_result(world.compute.started[0].name)) is not None


def test_a_machine_that_cannot_be_deleted_keeps_the_lease(world: World) -> None:
    world.compute.faults = [("DELETE", 500)] * 6
    with pytest.raises(Exception, match=r"left.*europe-west4-a, HTTP 500"):
        world.run()
    assert world.store.read(layout.run_lease()) is not None
    assert len(world.compute.machines) == 1


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
        assert world.run(workers=2)["outcome"] == "succeeded"
        world.left_nothing()
    else:
        failure = world.fails(workers=2)
        assert {w: f"-{w}of2" not in failure for w in lives} == {w: succeeds(w) for w in lives}


def test_a_steps_name_is_its_own_within_its_workflow() -> None:
    names = Counter((workflow, step) for workflow, step, _ in steps(yaml.safe_load(source())))
    assert [name for name, number in names.items() if number > 1] == []


def test_expressions_are_within_workflows_limits() -> None:
    # Source: https://cloud.google.com/workflows/quotas
    assert len(source().encode()) < 128 * 1024
    expressions = re.findall(r"\$\{.*\}", source())
    assert expressions
    assert all(len(expression) <= 400 for expression in expressions)
