"""Runs the process that trains one account, and follows its progress."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from pipeline.environment import inherited
from pipeline.errors import UserError
from trainer_image.job import JOB, RESULT, Job, Result

# gpt-2-simple prints "[30 | 4.21] loss=2.13 avg=2.40" after each step.
_STEP = re.compile(r"\[(\d+) \| .*\] loss=(\S+) ")
_SCORED = re.compile(r"scored (\d+) of (\d+)")
_MENDS = {
    "No space left on device": "the trainer's disk is full: give the machine a larger one, or "
    "raise save_every to keep fewer checkpoints",
    "OOM when allocating": "the GPU's memory is too small: lower batch_size or window",
}

OnStep = Callable[[int, float], None]
OnScore = Callable[[int, int], None]


def finetune(job: Job, folder: Path, on_step: OnStep, on_score: OnScore) -> Result:
    """Train in `folder`.

    Args:
        job: The training.
        folder: Where the process works; the release is in it afterwards.
        on_step: Called with each step and its training loss.
        on_score: Called with the number of checkpoints scored so far, and the number of all.

    Raises:
        UserError: Training failed; the message is the reason. Any exception also ends the
            process.
    """
    (folder / JOB).write_text(job.model_dump_json())
    command = [sys.executable, "-m", "trainer_image.finetune", str(folder.resolve())]
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(
            command,
            cwd=Path(__file__).parents[1],
            env=inherited(PYTHONUNBUFFERED="1", TF_CPP_MIN_LOG_LEVEL="2"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout
        try:
            for line in process.stdout:
                if step := _STEP.match(line):
                    on_step(int(step[1]), float(step[2]))
                elif scored := _SCORED.match(line):
                    on_score(int(scored[1]), int(scored[2]))
        except BaseException:
            process.kill()  # it has nothing to save
            raise
        if process.wait() != 0:
            raise UserError(_reason(process.returncode, errors))
    return Result.model_validate_json((folder / RESULT).read_text())


def _reason(status: int, errors: IO[str]) -> str:
    errors.seek(0)
    text = errors.read()
    for sign, mend in _MENDS.items():
        if sign in text:
            return mend
    if status < 0:
        return f"training was stopped by signal {-status}; for 9, give the machine more memory"
    return (text.strip().splitlines() or [f"training ended with status {status}"])[-1]
