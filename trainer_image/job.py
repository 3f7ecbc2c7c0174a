"""The files by which the trainer and the process that trains one account exchange data."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.settings import Settings

JOB, RESULT, RELEASE = "job.json", "result.json", "release"
"""Names in the folder that both processes share."""


class Job(BaseModel):
    """One training; `start` is the folder of a model in gpt-2-simple's layout."""

    model_config = ConfigDict(frozen=True)

    settings: Settings
    start: Path
    require_gpu: bool
    train: list[str]
    held_out: list[str]


class Result(BaseModel):
    """The result of a training.

    Losses are those of the float32 weights on the held-out tweets, in nats a token. Step 0 of the
    curve is the model that training began with. The folder `release/` beside the result holds the
    best step: `model/` for serving (int8), and `checkpoint/` in gpt-2-simple's layout.
    """

    model_config = ConfigDict(frozen=True)

    step: int
    held_out_float: float
    held_out_curve: list[tuple[int, float]]
