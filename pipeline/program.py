"""Runs a package as `python -m` does, and lets SIGTERM end it at once.

In an image, `python -m pipeline.program app post` takes the place of `python -m app post`. Process
1 of a container has no default action for a signal: without a handler SIGTERM is lost, and the
platform waits ten seconds before it kills. The handler is set before the package is imported.

`python -m pipeline.program app --version` prints the version of the image.

A program that has something to finish first sets its own handler, which replaces this one.
"""

import os
import runpy
import signal
import sys
import threading
from typing import NoReturn

from pipeline import __version__

STATUS = 128 + signal.SIGTERM
"""The exit status of a program that SIGTERM ended, as a shell gives it."""


def main() -> None:
    """Run the package that the first argument names."""
    if sys.argv[2:] == ["--version"]:
        print(sys.argv[1], __version__)
        return
    end_on_sigterm()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def end_on_sigterm() -> None:
    """Let SIGTERM end this process with STATUS, whatever the process is doing."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGTERM, _end)
    # Python runs a handler between two steps of the main thread, and one step may be seconds of C++
    # that generates texts. The wake-up byte is written at once, and a thread waits for it.
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reading,), daemon=True).start()


def _watch(reading: int) -> None:
    while number := os.read(reading, 1):
        if number[0] == signal.SIGTERM and signal.getsignal(signal.SIGTERM) is _end:
            _end()


def _end(*_: object) -> NoReturn:
    os._exit(STATUS)


if __name__ == "__main__":
    main()
