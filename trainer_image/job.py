"""What the trainer asks of the process that trains one account, and what that one answers."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.settings import Settings

JOB, ANSWER, RELEASE = "job.json", "answer.json", "release"


class Job(BaseModel):
    """`start` is a model in gpt-2-simple's layout."""

    model_config = ConfigDict(frozen=True)

    settings: Settings
    start: Path
    require_gpu: bool
    train: list[str]
    held_out: list[str]


class Answer(BaseModel):
    """Losses are nats a token on the held-out tweets, by the weights in float32.

    At step 0 of the curve it is that of the model that training began with.

    Beside the answer lies `release/`: the best step as `model/` (int8), and as `checkpoint/` in
    gpt-2-simple's layout.
    """

    model_config = ConfigDict(frozen=True)

    step: int
    held_out_float: float
    held_out_curve: list[tuple[int, float]]
