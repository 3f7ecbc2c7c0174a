"""A scheduled training in a world of its own: declared settings, Compute's stand-in, buckets."""

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.auth.credentials import Credentials

from control_image import compute
from control_image.retrain import Retrain, RetrainSettings
from demo.samples import grammar
from pipeline import layout, release, run_lease
from pipeline.release import Dataset, LivePointer, Loss, Manifest, Memorisation
from pipeline.runs import Outcome, RunResult, write_result
from pipeline.settings import Settings
from pipeline.store import Store
from pipeline.tweets import Tweet, to_jsonl
from tests.control.compute import TOKEN, Compute, Machine
from tests.pipeline import curating
from tests.stacks.recorder import Recorder, declare, stack_values

START = datetime(2026, 11, 30, 2, 0, 0, 250_000, tzinfo=UTC)
EXECUTION = "prod-retrain-x7k2p"
RUN = "train-prod-20261130t020000-x7k2p"
Life = Callable[[Machine], None]


@functools.cache
def declared() -> Recorder:
    """What the real program declares for a production that trains on a schedule."""
    return declare("prod", stack_values("prod"))


@functools.cache
def environment() -> dict[str, str]:
    """The declared environment of the job."""
    job = declared().one("gcp:cloudrunv2/job:Job", "retrain")
    (container,) = job.inputs["template"]["template"]["containers"]
    return {variable["name"]: variable["value"] for variable in container["envs"]}


@functools.cache
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


class Time:
    """Time that passes only in sleeps; `on_sleep` hears of each, after it."""

    def __init__(self, start: datetime) -> None:
        self.at = start
        self.on_sleep: Callable[[], None] = lambda: None
        self._lock = threading.RLock()

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.at += timedelta(seconds=seconds)
            self.on_sleep()


class Identity(Credentials):
    """The job's service account, with a token that the stand-in knows."""

    def __init__(self) -> None:
        super().__init__()
        self.token = TOKEN

    def refresh(self, request: Any) -> None:
        raise AssertionError("the token was refused")


class Killed(BaseException):
    """This process is no more."""


@dataclass
class World:
    """Everything that a run meets."""

    compute: Compute
    data: Store
    models: Store
    time: Time

    def run(
        self,
        *,
        workers: int = 1,
        execution: str = EXECUTION,
        time: Time | None = None,
        **changes: Any,
    ) -> list[str]:
        """One attempt of an execution; what went wrong."""
        time = time or self.time
        given = {
            **environment(),
            "DATA_BUCKET": self.data.bucket_name,
            "MODELS_BUCKET": self.models.bucket_name,
            "WORKERS": str(workers),
            "CLOUD_RUN_EXECUTION": execution,
            **changes,
        }
        settings = RetrainSettings.model_validate(given)
        return Retrain(
            settings,
            self.data,
            self.models,
            compute.Compute.open(settings.project, time.now, time.sleep),
            time.now,
            time.sleep,
        ).run()

    def killed_at_sleep(self, number: int, **given: Any) -> None:
        """An attempt that is killed in the midst of it, as by Cloud Run for want of memory."""
        slept = 0

        def sleep() -> None:
            nonlocal slept
            slept += 1
            if slept == number:
                raise Killed
            self.compute.time_passed()

        before, self.time.on_sleep = self.time.on_sleep, sleep
        with pytest.raises(Killed):
            self.run(**given)
        self.time.on_sleep = before

    def succeeds(self, **given: Any) -> None:
        assert self.run(**given) == []
        self.left_nothing()

    def fails(self, **given: Any) -> str:
        """The text of the failure that the run must end in; it leaves nothing behind."""
        problems = self.run(**given)
        assert problems
        self.left_nothing()
        return "; ".join(problems)

    def left_nothing(self) -> None:
        assert self.compute.machines == {}
        assert self.models.read(layout.run_lease()) is None

    def declare(self, account: str, tweets: int = 120) -> None:
        """An account, as the Pulumi program and the scraper make one."""
        self.models.write(layout.base_pointer(account), b"{}", generation=0)
        curating.declare(self.data, account)
        self.collect(account, tweets)

    def collect(self, account: str, tweets: int, first_id: int = 1000) -> None:
        texts = grammar.tweets("keeper", first_id - 1000 + tweets)[first_id - 1000 :]
        found = [
            Tweet(
                id=str(first_id + i),
                text=text,
                created_at=START - timedelta(days=9),
                source="archive",
            )
            for i, text in enumerate(texts)
        ]
        self.data.write(
            f"{layout.segments(account)}{first_id}.jsonl", to_jsonl(found), generation=0
        )

    def released(self, account: str, tweets: int = 120, **settings: Any) -> None:
        """A live release that knows the account's first tweets."""
        given = Settings.model_validate_json(environment()["SETTINGS"])
        tag = release.tag(START - timedelta(days=7), "ab" * 32)
        manifest = Manifest(
            account=account,
            tag=tag,
            created=START,
            run="earlier",
            dataset=Dataset(digest="ab" * 32, tweets=tweets, held_out=12),
            base_model=given.base_model,
            warm_start=None,
            compared_with=None,
            settings=given.model_copy(update=settings),
            loss=Loss(
                held_out_float=1, held_out_int8=1, live_int8=None, train_curve=[], held_out_curve=[]
            ),
            memorisation=Memorisation(samples=0, held_out=0),
            valid=1,
            step=1,
            files={},
            gate="passed",
            reason="",
        )
        ids = ", ".join(f'"{1000 + number}"' for number in range(tweets))
        known = f'{{"train": [{ids}], "held_out": []}}'.encode()
        self.models.write(layout.release(account, tag) + release.DATASET, known, generation=0)
        name = layout.manifest(account, tag)
        self.models.write(name, manifest.model_dump_json().encode(), generation=0)
        pointer = LivePointer(release=tag, at=START, by="run earlier", previous=None)
        self.models.write(
            layout.live_pointer(account), pointer.model_dump_json().encode(), generation=0
        )

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
            self.models,
            RunResult(run=machine, started=START, finished=START, accounts=accounts),
        )

    def holds_lease(self, run: str, for_: timedelta, by: run_lease.Holder = "machine") -> None:
        expires = self.time.at + for_
        start = datetime.min.replace(tzinfo=UTC)
        run_lease.take(self.models, run, by, expires, lambda: start)
