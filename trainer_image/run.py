"""A machine's part of a training run: trains its accounts and writes one result."""

import shutil
import tempfile
from contextlib import closing
from pathlib import Path

from pipeline import news, run_lease
from pipeline.clock import Clock
from pipeline.lease import Busy
from pipeline.log import log
from pipeline.runs import Outcome, RunResult, read_accounts, write_result
from pipeline.store import PreconditionFailed, Store
from pipeline.worker import Worker
from trainer_image import turn
from trainer_image.config import Config


def train(config: Config, worker: Worker, models: Store, clock: Clock) -> RunResult:
    """Train the worker's accounts, and write the result.

    Raises:
        Busy: Another run is training. The result says so for each account, so that this machine
            does not train later either.
    """
    started = clock()
    accounts = worker.share(_accounts(models, worker.run))

    def finish(outcomes: dict[str, Outcome]) -> RunResult:
        result = RunResult(run=worker.machine, started=started, finished=clock(), accounts=outcomes)
        try:
            write_result(models, result)
        except PreconditionFailed:
            log("WARNING", f"run {worker.machine} was finished by another machine meanwhile")
        return result

    try:
        with run_lease.held(models, worker, config.longest, clock):
            return finish(_train_all(worker.machine, accounts))
    except Busy as error:
        refused = Outcome(outcome="busy", reason=str(error))
        finish(dict.fromkeys(accounts, refused))
        raise


def _train_all(machine: str, accounts: list[str]) -> dict[str, Outcome]:
    """Train the accounts. If one fails, the others are trained all the same."""
    outcomes: dict[str, Outcome] = {}
    with (
        tempfile.TemporaryDirectory(prefix="train-") as scratch,
        closing(turn.take_all(machine, accounts, Path(scratch))) as turns,
    ):
        for account, outcome in turns:
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
    return {account: outcomes[account] for account in accounts}


def _accounts(models: Store, run: str) -> list[str]:
    """The declared accounts, or those of them that are on the run's list, if it has one."""
    declared, chosen = news.accounts(models), read_accounts(models, run)
    if chosen is None:
        return declared
    return [account for account in declared if account in chosen.accounts]
