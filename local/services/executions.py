"""Executions of Run jobs: the declared image as a process, with what the job declares for it."""

import contextlib
import json
import random
import string
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Literal, cast

from pydantic import BaseModel

from local.resources import Resource
from local.services.processes import Stopping
from local.services.records import Records
from local.services.run import Task, secret_values
from local.services.world import GoogleError, World, short
from pipeline.errors import UserError


class Execution(BaseModel):
    """One execution of a job; `exit_codes` are the attempts' in order of their ends."""

    name: str
    job: str
    started: datetime
    ended: datetime | None = None
    image: str = ""
    attempts: int = 0
    exit_codes: list[int] = []
    outcome: Literal["running", "succeeded", "failed", "cancelled"] = "running"
    reason: str = ""
    log: Path


class Executions:
    """Runs jobs, and keeps what became of each execution."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._records = Records(world.home / "executions.json", Execution)
        for name, execution in self._records.all().items():
            if execution.outcome == "running":
                self._records.put(name, _ended(execution, world.clock.now(), "the cloud stopped"))

    def all(self) -> list[Execution]:
        """All executions, oldest first."""
        return list(self._records.all().values())

    def run(self, job: Resource) -> Execution:
        """Execute a job and wait until it has ended, however that may be."""
        name = f"{short(job.id)}-{''.join(random.choices(string.ascii_lowercase, k=5))}"
        execution = Execution(
            name=name,
            job=short(job.id),
            started=self._world.clock.now(),
            log=self._world.log("executions", name),
        )
        with execution.log.open("ab", buffering=0) as log:
            self._records.put(name, execution)
            over = self._execute(job, execution, log)
            log.write(f"-- {over.outcome} {over.reason}\n".encode())
        self._records.put(name, over)
        return over

    def _execute(self, job: Resource, execution: Execution, log: IO[bytes]) -> Execution:
        world = self._world
        task = Task.of(job.inputs, world)
        try:
            digest = world.machine.resolve(task.image)
            if digest is None:
                raise GoogleError(f"Image '{task.image}' not found")
            env = task.env | secret_values(task, world) | _platform(execution, task)
        except UserError as error:
            return _ended(execution, world.clock.now(), str(error), "failed")
        image = f"{_repository(task.image)}@{digest}"
        self._records.put(execution.name, execution.model_copy(update={"image": image}))
        run = _Run(world, self._records, execution.name, task, image, env, log)
        with ThreadPoolExecutor(task.parallelism) as pool:
            failures = list(filter(None, pool.map(run.task, range(task.count))))
        execution = self._records.get(execution.name) or execution
        if not failures:
            return _ended(execution, world.clock.now(), "", "succeeded")
        outcome = "cancelled" if world.processes.stopping else "failed"
        reason = ": ".join(filter(None, [failures[0], _last_error(execution.log)]))
        return _ended(execution, world.clock.now(), reason, outcome)


@dataclass(frozen=True)
class _Run:
    """An execution under way: what all its tasks share."""

    world: World
    records: Records[Execution]
    name: str
    declared: Task
    image: str
    env: dict[str, str]
    log: IO[bytes]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def task(self, index: int) -> str:
        """Run one task with its retries; why it failed, or nothing."""
        failure = ""
        for attempt in range(self.declared.retries + 1):
            try:
                failure = self._attempt(index, attempt)
            except (Stopping, UserError) as error:
                return str(error)
            if not failure:
                return ""
            self.log.write(f"-- task {index}, attempt {attempt}: {failure}\n".encode())
        return failure

    def _attempt(self, index: int, attempt: int) -> str:
        process = self.world.processes.start(lambda: self._start(index, attempt))
        in_time = self.world.processes.wait(process, self.declared.timeout)
        self._note(process.returncode)
        if not in_time:
            return f"the task ran longer than its timeout of {self.declared.timeout:g} s"
        code = process.returncode
        return f"the container exited with {code}" if code else ""

    def _start(self, index: int, attempt: int) -> subprocess.Popen[bytes]:
        number = {"CLOUD_RUN_TASK_INDEX": str(index), "CLOUD_RUN_TASK_ATTEMPT": str(attempt)}
        return self.world.machine.run(
            self.image,
            args=self.declared.args,
            entrypoint=self.declared.command or None,
            env=self.env | number,
            network=self.world.network(self.name, self.declared.account, {}),
            log=self.log,
        )

    def _note(self, code: int) -> None:
        with self.lock:
            record = self.records.get(self.name)
            if record is not None:
                codes = [*record.exit_codes, code]
                update = {"attempts": len(codes), "exit_codes": codes}
                self.records.put(self.name, record.model_copy(update=update))


def _platform(execution: Execution, task: Task) -> dict[str, str]:
    # Source: https://cloud.google.com/run/docs/container-contract#jobs-env-vars
    return {
        "CLOUD_RUN_JOB": execution.job,
        "CLOUD_RUN_EXECUTION": execution.name,
        "CLOUD_RUN_TASK_COUNT": str(task.count),
    }


def _last_error(log: Path) -> str:
    """The last message of a program that logs as Cloud Logging reads it, if it is an error's."""
    for line in reversed(log.read_text(errors="replace").splitlines()):
        with contextlib.suppress(ValueError):
            entry: object = json.loads(line)
            if isinstance(entry, dict):
                fields = cast("dict[str, object]", entry)
                return str(fields.get("message", "")) if fields.get("severity") == "ERROR" else ""
    return ""


def _repository(image: str) -> str:
    without_digest = image.partition("@")[0]
    folder, slash, last = without_digest.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def _ended(
    execution: Execution,
    now: datetime,
    reason: str,
    outcome: Literal["succeeded", "failed", "cancelled"] = "cancelled",
) -> Execution:
    """The execution as it is over."""
    return execution.model_copy(update={"ended": now, "reason": reason, "outcome": outcome})
