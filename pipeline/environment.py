"""What a program takes from its process's environment, where the stack declares it."""

import os
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import UserError


class Environment(BaseModel):
    """A program's variables; a subclass has a field for each, with its name as the alias."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def read(cls) -> Self:
        """Read this process's environment.

        Raises:
            UserError: A variable is missing or makes no sense; the text names it.
        """
        try:
            return cls.model_validate(dict(os.environ))
        except ValidationError as error:
            what = error.errors()[0]
            raise UserError(f"environment variable {what['loc'][0]}: {what['msg']}") from None
