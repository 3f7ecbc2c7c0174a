"""Regular expressions that a person wrote. RE2 runs them: its time grows with the text alone."""

from collections.abc import Callable
from typing import Any, cast

import re2  # pyright: ignore[reportMissingTypeStubs]

_re2 = cast("Any", re2)


def compiled(pattern: str) -> Callable[[str], object | None]:
    """The search for a pattern, without regard to case.

    Raises:
        ValueError: RE2 does not take the pattern.
    """
    options = _re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    try:
        return _re2.compile(pattern, options).search
    except _re2.error as error:
        reason = error.args[0].decode() if error.args else "it is not valid"
        raise ValueError(
            f"{pattern!r} is not a regular expression in RE2's syntax: {reason}; RE2 has no"
            " look-around and no back-references"
        ) from None
