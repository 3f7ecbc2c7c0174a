"""The trainer's environment, which the training machine sets."""

from datetime import timedelta
from pathlib import Path

from pydantic import Json, PositiveInt

from pipeline.environment import Environment
from pipeline.settings import Settings


class Config(Environment):
    """The trainer's variables.

    Attributes:
        models_mount: Where `base/` and `releases/` of the models bucket are mounted, read-only.
        base_models: Where the machine puts the base model that it fetched ahead. A base model that
            the trainer downloads goes there, too.
        require_gpu: Whether training fails if TensorFlow sees no GPU.
        max_run_seconds: After this time Compute Engine stops the machine.
        keep_releases: How many of the newest releases that passed the gate keep their weights,
            besides those in use.
    """

    data_bucket: str
    models_bucket: str
    models_mount: Path = Path("/mnt/models")
    base_models: Path = Path("/tmp/base")  # noqa: S108 - the machine's disk, the trainer's alone
    settings: Json[Settings]
    require_gpu: bool = False
    max_run_seconds: PositiveInt
    keep_releases: PositiveInt

    @property
    def longest(self) -> timedelta:
        """The longest time that the machine may run."""
        return timedelta(seconds=self.max_run_seconds)
