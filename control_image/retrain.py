"""Scheduled training: trains the accounts that have news, on machines created for the run.

An execution first looks for accounts with enough news, and ends if there are none. Otherwise it
begins a run: it records the accounts, takes the run lease, inserts machines in zones that have
capacity, waits until they are off, and reads their results. It deletes the machines in any case. An
execution that Cloud Run starts again continues its own run. If an execution is killed, the next one
deletes the machines that it left.
"""

import traceback
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Annotated

from pydantic import Field, Json, PositiveInt

from control_image.compute import Compute, Machine, Refused, Sleep, pause
from pipeline import interrupt, layout, news, run_lease
from pipeline.clock import Clock
from pipeline.environment import Environment
from pipeline.errors import PipelineError, UserError
from pipeline.interrupt import Interrupted
from pipeline.lease import Busy
from pipeline.log import log
from pipeline.release import read_live
from pipeline.runs import (
    RunAccounts,
    RunVerdict,
    read_accounts,
    read_result,
    read_verdict,
    write_accounts,
    write_verdict,
)
from pipeline.settings import Settings
from pipeline.store import PreconditionFailed, Store
from pipeline.worker import Worker

# The longest time that deleting machines may take. The lease outlasts the run by more than this.
DELETING = timedelta(minutes=20)
_LEASE_LONGER = timedelta(minutes=30)
# The longest time that a task may run. An older run belongs to another execution whose name has the
# same end.
# Source: https://docs.cloud.google.com/run/docs/configuring/task-timeout
_LONGEST_EXECUTION = timedelta(hours=168)
# The number of deletions sent at once. Cloud Run sends SIGKILL 10 seconds after SIGTERM.
# Source: https://cloud.google.com/run/docs/container-contract#lifecycle-jobs
_AT_ONCE = 16


class RetrainSettings(Environment):
    """The variables of `retrain`.

    `runs` is the prefix of every run's name. `zones` and `templates` are tried in their order.
    `seconds` is the longest time of a run, including the search for machines.
    """

    data_bucket: str
    models_bucket: str
    settings: Json[Settings]
    project: str
    runs: str
    zones: Json[Annotated[list[str], Field(min_length=1)]]
    templates: Json[Annotated[list[str], Field(min_length=1)]]
    workers: PositiveInt
    seconds: PositiveInt
    # Source: https://cloud.google.com/run/docs/container-contract#jobs-env-vars
    execution: str = Field(alias="CLOUD_RUN_EXECUTION")

    @property
    def suffix(self) -> str:
        """The last part of the execution's name, which tells it from the job's other executions."""
        return self.execution.rpartition("-")[2][-5:]


@contextmanager
def stoppable() -> Generator[None]:
    """Let the first signal in the block raise Interrupted. Ignore later signals.

    Signals after the block are ignored, too: they must not interrupt the clean-up.
    """
    interrupt.listen()
    try:
        yield
    finally:
        interrupt.ignore()


@dataclass(frozen=True)
class Retrain:
    """One execution of the scheduled job."""

    settings: RetrainSettings
    data: Store
    models: Store
    compute: Compute
    clock: Clock
    sleep: Sleep

    def run(self) -> list[str]:
        """Train the accounts that have news; returns the problems.

        Raises:
            PipelineError: No run was begun: the buckets or Compute Engine refuse or do not answer.
        """
        own = self._begun_run()
        existing, problems = self._sweep(own)
        if own is None:
            accounts, failures = self._with_news()
            problems += failures
            if not accounts:
                log("NOTICE", "no account has enough news: no machine is made")
                return problems
            own = self._new_run(accounts)
        elif verdict := read_verdict(self.models, own):
            log("NOTICE", f"run {own} has a verdict already: nothing is repeated")
            return [*problems, *verdict.problems]
        begun = read_accounts(self.models, own)
        if begun is None:
            raise UserError(f"object {layout.run_accounts(own)} is missing: execute the job again")
        expires = begun.deadline + _LEASE_LONGER
        try:
            run_lease.take(self.models, own, "schedule", expires, self.clock)
        except Busy as error:
            log("WARNING", f"nothing is trained: {error}")
            return problems
        shares = layout.shares(min(self.settings.workers, len(begun.accounts)))
        names = [own + share for share in shares]
        return problems + self._train(own, names, begun.deadline, existing)

    def _begun_run(self) -> str | None:
        """The run that an earlier attempt of this execution began; None if there is none."""
        names = self.models.names(layout.all_runs() + self.settings.runs)
        for name in reversed(names):
            run = name.removeprefix(layout.all_runs()).rpartition("/")[0]
            if name != layout.run_accounts(run) or not run.endswith(f"-{self.settings.suffix}"):
                continue
            begun = read_accounts(self.models, run)
            if begun and begun.deadline > self.clock() - _LONGEST_EXECUTION:
                return run
        return None

    def _new_run(self, accounts: list[str]) -> str:
        now = self.clock()
        run = f"{self.settings.runs}{now:%Y%m%dt%H%M%S}-{self.settings.suffix}"
        deadline = now + timedelta(seconds=self.settings.seconds)
        write_accounts(self.models, run, RunAccounts(accounts=accounts, deadline=deadline))
        log("NOTICE", f"run {run} trains {', '.join(accounts)}", run=run, accounts=accounts)
        return run

    def _with_news(self) -> tuple[list[str], list[str]]:
        """The accounts to train, and the problems with accounts that cannot be read."""
        accounts: list[str] = []
        problems: list[str] = []
        for account in news.accounts(self.models):
            try:
                live = read_live(self.models, account)
                assessed = news.assess(
                    self.data, self.models, account, live and live.document, self.settings.settings
                )
            except PipelineError as error:
                problems.append(f"{account} failed, {error}")
                continue
            if assessed.refusal is None:
                accounts.append(account)
            else:
                reason = f"{assessed.refusal.outcome}, {assessed.refusal.reason}"
                log("INFO", f"account {account}: {reason}", account=account)
        return accounts, problems

    def _sweep(self, own: str | None) -> tuple[list[Machine], list[str]]:
        """Delete the machines of runs that are over.

        Machines of a run by hand stay, since Pulumi deletes them; such a run has no list of
        accounts. Returns the machines that stay, and the problems.
        """
        # List first, then read the lease: a listed machine was inserted under a lease that was
        # already taken.
        existing = self.compute.machines(self.settings.runs)
        holder = run_lease.holder(self.models, self.clock())
        over = [machine for machine in existing if self._is_over(machine, own, holder)]
        for machine in over:
            log(
                "WARNING",
                f"{machine.name} in {machine.zone} was left by an earlier run: it is deleted",
            )
        return [m for m in existing if m not in over], self._delete(over)

    def _is_over(self, machine: Machine, own: str | None, holder: str | None) -> bool:
        try:
            run = Worker.parse(machine.name).run
        except UserError:
            return False
        if run == own or read_accounts(self.models, run) is None:
            return False
        return run != holder or read_verdict(self.models, run) is not None

    def _train(
        self, run: str, names: list[str], deadline: datetime, existing: list[Machine]
    ) -> list[str]:
        """Train on machines with these names, and delete them at the end; returns the problems."""
        problems: list[str] = []
        stopped = False
        try:
            with stoppable():
                self._work(names, deadline, {m.name: m for m in existing}, problems)
        except Interrupted:
            stopped = True
            problems.append("the execution was told to stop")
        except PipelineError as error:
            problems.append(str(error))
        except Exception as error:  # noqa: BLE001  # the machines are deleted in any case
            log("ERROR", "unexpected", stack_trace=traceback.format_exc())
            problems.append(f"{type(error).__name__}: {error}".split("\n")[0])
        zones = dict.fromkeys(
            [*self.settings.zones, *(m.zone for m in existing if m.name in names)]
        )
        left = self._delete([Machine(*pair) for pair in product(names, zones)], wait=not stopped)
        # While a machine is left, the lease stays until it expires: no other run begins meanwhile.
        if not left:
            run_lease.release(self.models, run, "schedule")
        verdict = RunVerdict(ended=self.clock(), problems=problems + left)
        try:
            write_verdict(self.models, run, verdict)
        except PreconditionFailed:
            log("WARNING", f"run {run} has a verdict already")
        return verdict.problems

    def _work(
        self,
        names: list[str],
        deadline: datetime,
        existing: dict[str, Machine],
        problems: list[str],
    ) -> None:
        """Start the machines that have not ended, wait until all are off, and add the problems."""
        machines: dict[str, Machine | None] = {}
        for name in names:
            if name in existing or read_result(self.models, name):
                machines[name] = existing.get(name)
                continue
            try:
                machines[name] = self._start(name, deadline)
            except PipelineError as error:
                problems.append(f"{name} {error}")
        for name, machine in machines.items():
            ending = self._until_off(machine, deadline) if machine else "was deleted"
            problems += self._problems(name, ending)

    def _start(self, name: str, deadline: datetime) -> Machine:
        """Start a machine: the first hardware that a zone has, in the first zone that has it."""
        shortages: list[str] = []
        for template, zone in product(self.settings.templates, self.settings.zones):
            if self.clock() > deadline:
                shortages.append("the run's time is over")
                break
            machine = Machine(name, zone)
            try:
                self.compute.insert(machine, template, deadline)
            except Refused as refused:
                if not refused.shortage:  # every zone would refuse it
                    raise UserError(f"could not be started in {zone}, {refused}") from refused
                log("NOTICE", f"{name} cannot be started in {zone}, {refused}")
                shortages.append(f"{zone} {refused}")
                continue
            log("NOTICE", f"{name} runs in {zone}", machine=name, zone=zone)
            return machine
        raise UserError("; ".join(["found no machine", *shortages]))

    def _until_off(self, machine: Machine, deadline: datetime) -> str:
        """Wait until a machine is off; returns how it ended, such as "powered off"."""
        begun = self.clock()
        while True:
            try:
                status = self.compute.status(machine)
            except Refused as refused:
                return f"could not be watched, {refused}, and ended"
            if status is None:  # pre-empted, deleted by hand, or by its own time limit
                return "was deleted"
            if status == "TERMINATED":
                return "powered off"
            if self.clock() > deadline:
                return "was still running at the deadline"
            self.sleep(pause(self.clock() - begun, longest=60))

    def _problems(self, name: str, ending: str) -> Iterator[str]:
        """Yield the problems with a machine's share of the run."""
        try:
            result = read_result(self.models, name)
        except PipelineError as error:
            yield f"{name} has a result that cannot be read, {error}"
            return
        if result is None:
            yield f"{name} {ending} without a result"
            return
        for account, outcome in result.accounts.items():
            if outcome.outcome == "failed":
                yield f"{name} {account} failed, {outcome.reason}"

    def _delete(self, machines: list[Machine], *, wait: bool = True) -> list[str]:
        """Delete machines, whether or not they exist; returns those left, as problems."""
        left: list[str] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            operations = list(pool.map(self._begin_to_delete, machines))
        until = self.clock() + DELETING
        for machine, operation in zip(machines, operations, strict=True):
            try:
                if isinstance(operation, Refused):
                    raise operation
                if operation is not None and wait:
                    self.compute.wait(machine.zone, operation, until)
            except Refused as refused:
                left.append(f"{machine.name} is left in {machine.zone}, {refused}")
        return left

    def _begin_to_delete(self, machine: Machine) -> str | Refused | None:
        try:
            return self.compute.delete(machine)
        except Refused as refused:
            return refused
