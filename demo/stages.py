"""How a stage of the demo is shown: a bar while it goes on, one line when it is done."""

import io
import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Report = Callable[[str, float | None], None]
"""Takes what is going on and the share that is done, or None if that is unknown."""


@contextmanager
def stage(console: Console, title: str) -> Generator[Report]:
    """Shows a stage: a bar while it goes on, one line when it is done."""
    started, said = time.monotonic(), ""
    with Progress(
        TextColumn(f"{title:<20}"),
        BarColumn(bar_width=24),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=None)

        def report(what: str, share: float | None) -> None:
            nonlocal said
            said = what
            progress.update(
                task, description=what, total=None if share is None else 1, completed=share or 0
            )

        yield report
    took = f"({time.monotonic() - started:.0f} s)"
    console.print(f"{title:<20} {said} {took}", markup=False, soft_wrap=True)


def _messages(log: str) -> Iterator[dict[str, Any]]:
    """Yields the structured lines of a log."""
    for line in io.StringIO(log):
        try:
            message: object = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict) and "message" in message:
            yield message  # pyright: ignore[reportUnknownVariableType]


def last_message(log: str) -> str:
    """Returns the last message of a program, structured or not."""
    said = [str(message["message"]) for message in _messages(log)]
    lines = [line for line in log.splitlines() if line.strip()]
    return said[-1] if said else lines[-1] if lines else "it printed nothing"


def training_progress(log: str) -> tuple[str, float | None]:
    """Returns what the trainer is doing according to its log, and the share that is done."""
    last = next((m for m in reversed(list(_messages(log))) if "account" in m), None)
    if last is None:
        return "the machine starts", None
    what = f"{last['account']}: {last['message']}"
    if "loss" in last:
        what += f", loss {last['loss']:.2f}"
    return what, last["step"] / last["steps"] if last.get("steps") else None
