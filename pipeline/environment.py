"""Reads the process's environment. No other module of a program does.

A program declares the variables that the stack sets for it as a subclass of `Environment`. A
variable that only adjusts a client, such as CLOCK in the local cloud, is read by `variable`.
Values appear in errors, so no variable may hold a secret: it holds the secret's name.
"""

import os
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import UserError


class Environment(BaseModel):
    """A program's variables. A field has its variable's name in lower case, or an alias.

    A variable that is empty counts as unset.
    """

    model_config = ConfigDict(frozen=True, alias_generator=str.upper)

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> Self:
        """Read this process's environment.

        Raises:
            UserError: A variable is missing or wrong; the message has its name and value.
        """
        values = {name: value for name, value in variables.items() if value}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name, *inner = map(str, first["loc"])
        if name not in values:
            raise UserError(f"environment variable {name} is not set; set it as the stack does")
        where = f"{'.'.join(inner)}: " if inner else ""
        raise UserError(f"environment variable {name} is {values[name]!r}: {where}{first['msg']}")


def variable(name: str, default: str = "") -> str:
    """The value of an optional variable; `default` if it is unset or empty."""
    return os.environ.get(name) or default


def set_default(name: str, value: str) -> None:
    """Set a variable that a client library reads, unless it is set already."""
    os.environ.setdefault(name, value)


def inherited(**variables: str) -> dict[str, str]:
    """The environment for a child process: this process's own, with `variables` on top."""
    return {**os.environ, **variables}
