"""What a program does that is asked to end: it gives back what it holds."""

import signal
from typing import NoReturn

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(BaseException):
    """The machine is being taken away, or the platform or a person ends the program."""


def listen() -> None:
    """From now on SIGTERM and SIGINT raise Interrupted in the main thread, once."""
    for number in _SIGNALS:
        signal.signal(number, _interrupt)


def ignore() -> None:
    """From now on SIGTERM and SIGINT do nothing: what follows must not be broken off."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(*_: object) -> NoReturn:
    ignore()  # once is enough
    raise Interrupted
