"""What the handlers of Google's resource types share."""

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from local.engine.handler import Failure, Handler, Json
from local.services.context import Context, GoogleError, short


class GoogleHandler(Handler):
    """Records a resource: checks the form of its names, and makes its full name the id."""

    # The full name, such as "projects/{project}/topics/{name}".
    full_name: ClassVar[str]
    # By input: the pattern that the value must match, and the same in words.
    formats: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def __init__(self, context: Context) -> None:
        self._context = context

    def check(self, inputs: Json, /) -> Iterator[Failure]:
        """Yields the inputs that are not of the right form."""
        for key, (pattern, words) in self.formats.items():
            if not re.fullmatch(pattern, inputs[key]):
                yield key, f"{inputs[key]!r} is not {words}"

    def create(self, _name: str, inputs: Json, /) -> tuple[str, Json]:
        """Records the resource."""
        return self.full_name.format_map(inputs), {}


def must_not_be_protected(noun: str, id_: str, outputs: Json, *, default: bool = False) -> None:
    """Raises GoogleError where deletion protection is on; `default` is what holds if not given."""
    if outputs.get("deletionProtection", default):
        raise GoogleError(
            f"the {noun} {short(id_)} is protected: set deletionProtection to false and run `up`"
            " before it is destroyed"
        )
