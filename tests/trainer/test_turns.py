"""Two accounts of a run at once: one is judged while the next trains."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from demo.samples import grammar
from pipeline import layout
from pipeline.runs import RunResult, read_result
from trainer_image import gpu
from trainer_image.lease import Lease

from .conftest import REAL, Trained, World, processes_of

pytestmark = pytest.mark.deep

LONGEST = 240  # seconds: then a run hangs
SETTINGS = REAL | {"steps": 10, "save_every": 5, "min_tweets": 20}


class Judging:
    """A run whose live accounts are judged until the test lets them continue.

    The vocabulary of each live model is a pipe. The trainer reads it only to compare models, and
    waits there. Either account may train first: `judged` is that account, `training` the other.
    """

    def __init__(self, world: World, scratch: Path, others: list[str], until: ExitStack) -> None:
        world.declare(*others)
        for account in others:
            world.collect(account, grammar.tweets("baker", 60))
        world.remount()
        self.world, self.scratch = world, scratch
        self._vocabulary = (world.base / "encoder.json").read_bytes()
        self._pipes = {account: self._vocabulary_of_live(account) for account in grammar.VOICES}
        for pipe in self._pipes.values():
            pipe.unlink()
            os.mkfifo(pipe)
        self.process = world.start("second", SETTINGS, {"TMPDIR": str(scratch)})
        until.enter_context(self.process)
        until.callback(self.kill)
        overdue = Timer(LONGEST, self.kill)
        overdue.start()
        until.callback(overdue.cancel)
        self.judged = self.wait_for("judging")
        self.training = self.wait_for("training")

    def wait_for(self, message: str) -> str:
        """Wait until the trainer logs a message; returns the account."""
        assert self.process.stdout
        lines: list[dict[str, Any]] = []
        for text in self.process.stdout:
            lines.append(json.loads(text))
            if lines[-1]["message"] == message:
                return lines[-1]["account"]
        pytest.fail(f"the trainer ended with {lines[-3:]}")

    def go_on(self, account: str) -> None:
        """Let the account's judging continue, once it has begun."""
        self._pipes[account].write_bytes(self._vocabulary)

    def end(self) -> RunResult:
        _, errors = self.process.communicate(timeout=LONGEST)
        assert errors == ""
        assert list(self.scratch.iterdir()) == []
        result = read_result(self.world.models, "second")
        assert result
        assert [*result.accounts] == sorted(result.accounts)
        return result

    def kill(self) -> None:
        """Kill the run and all its processes."""
        self.process.kill()
        for number in processes_of(self.scratch):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        for pipe in self._pipes.values():  # who waits for a reader waits no longer
            os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))

    def turn_of(self, account: str) -> int:
        """The process id of the account's turn."""
        (turn,) = [
            number
            for number, command in processes_of(self.scratch).items()
            if f"trainer_image.turn second {account} " in command
        ]
        return turn

    def _vocabulary_of_live(self, account: str) -> Path:
        live = self.world.live(account)
        assert live
        return self.world.mount / layout.release(account, live) / "model/encoder.json"


Begin = Callable[..., Judging]


@pytest.fixture
def judging(trained: Trained, world: World, tmp_path: Path) -> Iterator[Begin]:
    """Begins a run of both sample accounts, which are live, and of other, new accounts."""
    world.declare(*grammar.VOICES)
    for voice in grammar.VOICES:
        world.collect(voice, grammar.tweets(voice, 660))
        trained.world.copy_to(world, layout.releases(voice))
        trained.world.copy_to(world, layout.live_pointer(voice))
    with ExitStack() as stack:

        def begin(*others: str) -> Judging:
            return Judging(world, tmp_path, [*others], stack)

        yield begin


def test_one_account_is_judged_while_the_next_trains(judging: Begin) -> None:
    run = judging()
    assert {run.judged, run.training} == {*grammar.VOICES}
    run.go_on(run.judged)
    run.go_on(run.training)
    assert [found.outcome for found in run.end().accounts.values()] == ["live"] * 2


def test_never_more_than_two_accounts_are_under_way_and_one_trains(judging: Begin) -> None:
    run = judging("later")
    commands = " ".join(processes_of(run.scratch).values())
    assert commands.count("trainer_image.turn") == 2
    assert commands.count("trainer_image.finetune") == 1
    assert "later" not in commands
    run.go_on(run.training)
    run.wait_for("account later: live")
    run.go_on(run.judged)
    assert [found.outcome for found in run.end().accounts.values()] == ["live"] * 3


def test_an_account_whose_process_dies_fails_alone(judging: Begin) -> None:
    run = judging()
    os.kill(run.turn_of(run.judged), signal.SIGKILL)
    run.go_on(run.training)
    accounts = run.end().accounts
    assert accounts[run.judged].outcome == "failed"
    assert "was stopped by signal 9" in accounts[run.judged].reason
    assert accounts[run.training].outcome == "live"


def test_an_interrupted_run_ends_the_judged_and_the_trained_at_once(judging: Begin) -> None:
    run = judging()
    run.process.send_signal(signal.SIGTERM)
    _, errors = run.process.communicate(timeout=30)
    assert (run.process.returncode, errors) == (143, "")
    assert processes_of(run.scratch) == {}
    assert list(run.scratch.iterdir()) == []
    assert run.world.models.names("runs/") == []
    # The account in training released its lease. The judged one is in a native call, which delays
    # signals, so its process was killed and its lease expires by itself.
    Lease(run.world.models, run.training, "third", lambda: datetime.now(UTC) + timedelta(seconds=1))


def test_a_turn_ends_with_the_program_that_gave_it(judging: Begin) -> None:
    run = judging()
    run.process.kill()
    run.go_on(run.judged)
    run.process.communicate(timeout=30)  # until nothing holds the other end of its output
    assert processes_of(run.scratch) == {}


def test_a_process_that_waits_for_the_gpu_gets_it_when_its_holder_ends(tmp_path: Path) -> None:
    holder, waited = ExitStack(), list[str]()
    holder.enter_context(gpu.alone(tmp_path, meanwhile=lambda: pytest.fail("nobody has it")))

    def meanwhile() -> None:
        waited.append("lease renewed")
        if len(waited) == 2:
            holder.close()

    with gpu.alone(tmp_path, meanwhile):
        assert waited == ["lease renewed"] * 2
