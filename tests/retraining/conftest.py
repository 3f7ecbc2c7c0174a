"""A scheduled run in a world of its own: the declared workflow, Compute's stand-in, a store."""

import base64
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud import storage

from pipeline import layout
from pipeline.runs import Outcome, RunResult, write_result
from pipeline.store import Store
from tests.conftest import CloudStorage
from tests.retraining.compute import Compute, Machine, serving
from tests.retraining.emulator import Clock, Failed, execute
from tests.stacks.recorder import Recorder, declare, stack_values

START = datetime(2026, 11, 30, 2, 0, 0, 250_000, tzinfo=UTC)
ZONES = ["europe-west4-a", "europe-west4-b", "europe-west4-c"]
Life = Callable[[Machine], None]


@functools.cache
def declared(workers: int = 1) -> Recorder:
    """What the real program declares for a production that trains on a schedule."""
    values = stack_values("prod")
    values["gpt2-bots:training"]["workers"] = workers
    return declare("prod", values)


def source() -> str:
    (workflow,) = declared().of("gcp:workflows/workflow:Workflow")
    return workflow.inputs["sourceContents"]


def argument(workers: int = 1) -> dict[str, Any]:
    """The argument that the declared schedule starts the workflow with."""
    schedule = declared(workers).one("gcp:cloudscheduler/job:Job", "retrain")
    request = json.loads(base64.b64decode(schedule.inputs["httpTarget"]["body"]))
    return json.loads(request["argument"])


def templates() -> dict[str, dict[str, Any]]:
    """The declared templates as Compute keeps them, by their ids."""
    return {
        f"{template.name}-id": {
            "machineType": template.inputs["machineType"],
            "scheduling": template.inputs["scheduling"],
            "metadata": {
                "items": [
                    {"key": key, "value": value}
                    for key, value in template.inputs["metadata"].items()
                ]
            },
        }
        for template in declared().of("gcp:compute/instanceTemplate:InstanceTemplate")
    }


@dataclass
class World:
    """Everything that a run meets; `run` makes one, `ends` says how machines do."""

    compute: Compute
    store: Store
    clock: Clock
    storage: str

    def run(self, workers: int = 1, clock: Clock | None = None) -> Any:
        given = {
            **argument(workers),
            "compute": self.compute.url,
            "storage": self.storage,
            "bucket": self.store.bucket_name,
        }
        return execute(source(), given, clock or self.clock)

    def fails(self, workers: int = 1) -> str:
        """The text of the failure that the run must end in; it leaves nothing behind."""
        with pytest.raises(Failed) as failed:
            self.run(workers)
        self.left_nothing()
        return json.dumps(failed.value.error, ensure_ascii=False)

    def left_nothing(self) -> None:
        assert self.compute.machines == {}
        assert self.store.read(layout.run_lease()) is None

    def finishes(self, **outcomes: str) -> Life:
        """A machine that trains for a while, writes its result, and powers itself off."""

        def life(machine: Machine) -> None:
            if machine.age == 3:
                self.result(machine.name, **outcomes)
                machine.status = "TERMINATED"

        return life

    def result(self, machine: str, **outcomes: str) -> None:
        accounts = {
            name: Outcome.model_validate({"outcome": outcome, "reason": 'it\'s "odd": yes'})
            for name, outcome in outcomes.items()
        }
        write_result(
            self.store,
            RunResult(run=machine, started=START, finished=START, accounts=accounts),
        )

    def holds_lease(self, run: str, for_: timedelta) -> None:
        expires = (self.clock.now + for_).isoformat().replace("+00:00", "Z")
        lease = {"run": run, "expires": expires, "by": "machine"}
        self.store.write(layout.run_lease(), json.dumps(lease).encode(), generation=0)


@pytest.fixture
def world(gcs: CloudStorage, bucket_factory: Callable[[], storage.Bucket]) -> Iterator[World]:
    """Zones that have machines, which train and power themselves off; nothing is held."""
    clock = Clock(START)
    with serving(Compute(templates())) as compute:
        world = World(compute, Store(bucket_factory(), patience=5), clock, gcs.server.upstream)
        compute.life = world.finishes(keeper="live", baker="skipped")
        clock.on_sleep = compute.time_passed
        yield world
