"""What a program does that is asked to end: it gives back what it holds."""

import signal
from typing import NoReturn


class Interrupted(BaseException):
    """The machine is being taken away."""


def listen() -> None:
    """From now on SIGTERM and SIGINT raise Interrupted in the main thread, once."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)


def _interrupt(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows must end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Interrupted
