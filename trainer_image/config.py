"""What the machine tells the trainer, by environment."""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Json, ValidationError

from pipeline.errors import UserError
from pipeline.settings import Settings

_RUN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Config(BaseModel):
    """The environment; `models_mount` is the models bucket as a read-only folder."""

    model_config = ConfigDict(frozen=True)

    data_bucket: str
    models_bucket: str
    models_mount: Path = Path("/mnt/models")
    settings: Json[Settings]
    require_gpu: bool = False

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


def run_name(text: str) -> str:
    """`text`, if it can name a run; UserError otherwise."""
    if not _RUN.fullmatch(text):
        raise UserError(f"run {text!r}: use at most 63 of a-z, 0-9 and -, such as 2026-11-23")
    return text
