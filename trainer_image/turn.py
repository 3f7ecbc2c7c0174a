"""`python -m trainer_image.turn MACHINE ACCOUNT SCRATCH DESCRIPTOR`: one account's turn in a run.

Each turn is a process of its own. So one account can be judged, which takes the processor, while
the next one trains, which takes the GPU. The process writes its outcome to DESCRIPTOR, an open file
descriptor.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Generator, Sequence
from pathlib import Path

from pipeline import clock, interrupt
from pipeline.errors import PipelineError
from pipeline.lease import Busy
from pipeline.log import log
from pipeline.runs import Outcome
from pipeline.store import Store
from trainer_image import lease, prune
from trainer_image.account import Trainer
from trainer_image.config import Config

# While one account trains, another is judged. The machine needs memory and disk for both.
AT_ONCE = 2
_TIMEOUT = 5.0  # seconds; `docker stop` kills after ten


def take_all(
    machine: str, accounts: Sequence[str], scratch: Path
) -> Generator[tuple[str, Outcome], None, None]:
    """Give each account its turn in this order; yields its outcome when the turn has ended.

    Closing the generator ends the turns that are under way.
    """
    waiting, running = [*accounts], list[_Turn]()
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                running.append(_Turn(machine, waiting.pop(0), scratch))
            ended: list[_Turn] = select.select(running, [], [])[0]
            for turn in ended:
                running.remove(turn)
                yield turn.account, turn.outcome()
    finally:
        for turn in running:
            turn.process.terminate()
        deadline = time.monotonic() + _TIMEOUT
        for turn in running:
            turn.end(deadline)


class _Turn:
    """A process that trains an account. For select(), it is readable once it has ended."""

    def __init__(self, machine: str, account: str, scratch: Path) -> None:
        self.account = account
        reader, writer = os.pipe()
        self._reader = os.fdopen(reader)
        module = [sys.executable, "-m", "trainer_image.turn"]
        try:
            self.process = subprocess.Popen(
                [*module, machine, account, str(scratch.resolve()), str(writer)],
                cwd=Path(__file__).parents[1],
                stdin=subprocess.PIPE,  # closes when this process ends, whatever ends it
                pass_fds=[writer],
            )
        finally:
            os.close(writer)

    def fileno(self) -> int:
        return self._reader.fileno()

    def outcome(self) -> Outcome:
        """The outcome that the process wrote; a process that wrote none has failed."""
        written = self._reader.read()
        status = self.end(time.monotonic() + _TIMEOUT)
        if written:
            return Outcome.model_validate_json(written)
        how = f"was stopped by signal {-status}" if status < 0 else f"ended with status {status}"
        return Outcome(
            outcome="failed", reason=f"its process {how}; for 9, give the machine more memory"
        )

    def end(self, deadline: float) -> int:
        """Wait for the process to end, kill it at `deadline`, and return its status."""
        try:
            return self.process.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:  # a computation in CTranslate2 delays signals
            self.process.kill()
            return self.process.wait()
        finally:
            self._reader.close()
            assert self.process.stdin
            self.process.stdin.close()


def main(machine: str, account: str, scratch: str, descriptor: str) -> int:
    """Train the account and write its outcome; returns 143 if it was interrupted, else 0."""
    interrupt.listen()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        outcome = _outcome(machine, account, Path(scratch))
    except interrupt.Interrupted:
        return 128 + signal.SIGTERM
    with os.fdopen(int(descriptor), "w") as out:
        out.write(outcome.model_dump_json())
    return 0


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _outcome(machine: str, account: str, scratch: Path) -> Outcome:
    """Train the account. Every error becomes its outcome, so the run continues."""
    try:
        config = Config.read()
        data, models = Store.open(config.data_bucket), Store.open(config.models_bucket)
        trainer = Trainer(config, machine, data, models, scratch, clock.now)
        with lease.held(models, account, machine, clock.now) as held:
            outcome = trainer.train(account, held)
            prune.prune(models, account, config.keep_releases, held, clock.now)
            return outcome
    except Busy as error:
        return Outcome(outcome="busy", reason=str(error))
    except PipelineError as error:
        return Outcome(outcome="failed", reason=str(error))
    except OSError as error:  # storage raises PipelineError, so this is the local disk
        return Outcome(outcome="failed", reason=f"the trainer's disk: {error}")
    except Exception as error:  # noqa: BLE001  # a defect must not stop the other accounts
        log("ERROR", "unexpected", account=account, stack_trace=traceback.format_exc())
        return Outcome(outcome="failed", reason=f"{type(error).__name__}: {error}".split("\n")[0])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
