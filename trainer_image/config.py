"""What the machine tells the trainer, by environment."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Json, PositiveInt, ValidationError

from pipeline.errors import UserError
from pipeline.settings import Settings


class Config(BaseModel):
    """The environment.

    `models_mount` has what the trainer reads of the models bucket, read-only; `base_models` the
    base model as the machine fetched it ahead, and room for it. `max_run_seconds` is the time after
    which the machine is stopped from outside, `keep_releases` how many releases of an account
    pruning leaves whole beside those in use.
    """

    model_config = ConfigDict(frozen=True)

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
        """The longest that the machine runs."""
        return timedelta(seconds=self.max_run_seconds)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Config":
        """Raise UserError for the first variable that is missing or wrong."""
        given = {
            name: environment[name.upper()]
            for name in cls.model_fields
            if environment.get(name.upper())
        }
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            what = error.errors()[0]
            name, *key = map(str, what["loc"])
            value = environment.get(name.upper(), "unset")
            raise UserError(
                f"environment variable {'.'.join([name.upper(), *key])} ({value}): {what['msg']}"
            ) from error
