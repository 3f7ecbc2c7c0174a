"""A machine's part of a training run: its accounts in turn, each on its own, then one result."""

import shutil
import tempfile
import traceback
from pathlib import Path

from pipeline import layout
from pipeline.clock import Clock
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.runs import Outcome, RunResult, write_result
from pipeline.store import Changed, Store
from trainer_image import lease, prune, run_lease
from trainer_image.account import Trainer
from trainer_image.config import Config
from trainer_image.worker import Worker


def train(config: Config, worker: Worker, data: Store, models: Store, clock: Clock) -> RunResult:
    """Train the worker's accounts, and write what became of them.

    Raises run_lease.Refused while another run is training; the result says so for each account,
    so that this machine trains nothing later either.
    """
    started = clock()
    accounts = worker.share(_accounts(models))

    def finish(outcomes: dict[str, Outcome]) -> RunResult:
        result = RunResult(run=worker.machine, started=started, finished=clock(), accounts=outcomes)
        try:
            write_result(models, result)
        except Changed:
            log("WARNING", f"run {worker.machine} was finished by another machine meanwhile")
        return result

    try:
        with run_lease.held(models, worker, config.longest, clock):
            return finish(_train_all(config, worker, accounts, data, models, clock))
    except run_lease.Refused as error:
        refused = Outcome(outcome="busy", reason=str(error))
        finish(dict.fromkeys(accounts, refused))
        raise


def _train_all(
    config: Config,
    worker: Worker,
    accounts: list[str],
    data: Store,
    models: Store,
    clock: Clock,
) -> dict[str, Outcome]:
    """Whatever happens to one account, the next has its turn."""
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="train-") as scratch:
        trainer = Trainer(config, worker.machine, data, models, Path(scratch), clock)
        for account in accounts:
            outcome = _train_one(trainer, account)
            outcomes[account] = outcome
            severity = "ERROR" if outcome.outcome == "failed" else "NOTICE"
            log(
                severity,
                f"account {account}: {outcome.outcome} {outcome.reason}".strip(),
                account=account,
                outcome=outcome.outcome,
                release=outcome.release,
            )
            shutil.rmtree(Path(scratch, account), ignore_errors=True)
    return outcomes


def _accounts(models: Store) -> list[str]:
    """Those that the Pulumi program declares: each has a base pointer, which it alone writes."""
    prefix = layout.base_pointer("").removesuffix(".json")
    names = models.names(prefix)
    return [name.removeprefix(prefix).removesuffix(".json") for name in names]


def _train_one(trainer: Trainer, account: str) -> Outcome:
    try:
        with lease.held(trainer.models, account, trainer.run, trainer.clock) as mine:
            outcome = trainer.train(account, mine)
            prune.prune(trainer.models, account, trainer.config.keep_releases, mine, trainer.clock)
            return outcome
    except lease.Busy as error:
        return Outcome(outcome="busy", reason=str(error))
    except UserError as error:
        return Outcome(outcome="failed", reason=str(error))
    except OSError as error:  # storage and its network have raised UserError: this is the disk
        return Outcome(outcome="failed", reason=f"the trainer's disk: {error}")
    except Exception as error:  # noqa: BLE001  # a defect met by one account is no other's
        log("ERROR", "unexpected", account=account, stack_trace=traceback.format_exc())
        return Outcome(outcome="failed", reason=f"{type(error).__name__}: {error}".split("\n")[0])
