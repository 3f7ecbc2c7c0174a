"""Turns SIGTERM and SIGINT into an exception, so that a program can give back what it holds."""

import signal
from typing import NoReturn

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(BaseException):
    """The machine is pre-empted, or the platform or a person stops the program."""


def listen() -> None:
    """Let the next SIGTERM or SIGINT raise Interrupted in the main thread; ignore later ones."""
    for number in _SIGNALS:
        signal.signal(number, _interrupt)


def ignore() -> None:
    """Ignore SIGTERM and SIGINT from now on, while something runs that must not be cut off."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(*_: object) -> NoReturn:
    ignore()
    raise Interrupted
