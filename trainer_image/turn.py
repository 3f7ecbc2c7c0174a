"""`python -m trainer_image.turn MACHINE ACCOUNT SCRATCH ANSWER`: one account's turn in a run.

A turn is a process of its own, so that one account is judged, which takes the processor, while the
next one trains, which takes the GPU. `ANSWER` is the descriptor that it writes its outcome to.
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
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.runs import Outcome
from pipeline.store import Store
from trainer_image import lease, prune
from trainer_image.account import Trainer
from trainer_image.config import Config

# One trains, one is judged: memory and disk for more than two accounts are never needed.
AT_ONCE = 2
_PATIENCE = 5.0  # seconds, of the ten that `docker stop` gives


def take_all(
    machine: str, accounts: Sequence[str], scratch: Path
) -> Generator[tuple[str, Outcome], None, None]:
    """Give each account its turn, in this order, and yield what became of it when it has ended.

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
        deadline = time.monotonic() + _PATIENCE
        for turn in running:
            turn.end(deadline)


class _Turn:
    """A process that is having its turn; for select(), it is readable once it has ended."""

    def __init__(self, machine: str, account: str, scratch: Path) -> None:
        self.account = account
        reader, writer = os.pipe()
        self._answer = os.fdopen(reader)
        module = [sys.executable, "-m", "trainer_image.turn"]
        try:
            self.process = subprocess.Popen(
                [*module, machine, account, str(scratch.resolve()), str(writer)],
                cwd=Path(__file__).parents[1],
                stdin=subprocess.PIPE,  # it closes with this process, however that ends
                pass_fds=[writer],
            )
        finally:
            os.close(writer)

    def fileno(self) -> int:
        return self._answer.fileno()

    def outcome(self) -> Outcome:
        """What it answered; without an answer it has failed."""
        answer = self._answer.read()
        status = self.end(time.monotonic() + _PATIENCE)
        if answer:
            return Outcome.model_validate_json(answer)
        ended = f"was stopped by signal {-status}" if status < 0 else f"ended with status {status}"
        return Outcome(
            outcome="failed", reason=f"its process {ended}; for 9, give the machine more memory"
        )

    def end(self, deadline: float) -> int:
        """Wait for its end, kill it at `deadline`, and return its status."""
        try:
            return self.process.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:  # CTranslate2 lets no signal through while it computes
            self.process.kill()
            return self.process.wait()
        finally:
            self._answer.close()
            assert self.process.stdin
            self.process.stdin.close()


def main(machine: str, account: str, scratch: str, answer: str) -> int:
    """Train the account and write its outcome; the exit status is 143 if it was interrupted."""
    interrupt.listen()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        outcome = _outcome(machine, account, Path(scratch))
    except interrupt.Interrupted:
        return 128 + signal.SIGTERM
    with os.fdopen(int(answer), "w") as out:
        out.write(outcome.model_dump_json())
    return 0


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _outcome(machine: str, account: str, scratch: Path) -> Outcome:
    """Whatever happens to one account is no other's."""
    try:
        config = Config.from_environment(os.environ)
        data, models = Store.open(config.data_bucket), Store.open(config.models_bucket)
        trainer = Trainer(config, machine, data, models, scratch, clock.now)
        with lease.held(models, account, machine, clock.now) as mine:
            outcome = trainer.train(account, mine)
            prune.prune(models, account, config.keep_releases, mine, clock.now)
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


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
