"""Shows the stages of the demo: a bar while a stage runs, one line when it is done."""

import io
import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Report = Callable[[str, float | None], None]
"""Takes the current activity and the share that is done, or None if that is unknown."""


@contextmanager
def stage(console: Console, title: str) -> Generator[Report]:
    """Shows a stage: a bar while it runs, one line when it is done."""
    started, latest = time.monotonic(), ""
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

        def report(activity: str, share: float | None) -> None:
            nonlocal latest
            latest = activity
            progress.update(
                task,
                description=activity,
                total=None if share is None else 1,
                completed=share or 0,
            )

        yield report
    took = f"({time.monotonic() - started:.0f} s)"
    console.print(f"{title:<20} {latest} {took}", markup=False, soft_wrap=True)


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
    messages = [str(message["message"]) for message in _messages(log)]
    lines = [line for line in log.splitlines() if line.strip()]
    return messages[-1] if messages else lines[-1] if lines else "it printed nothing"


def training_progress(log: str) -> tuple[str, float | None]:
    """Returns what the trainer is doing according to its log, and the share that is done."""
    last = next((m for m in reversed(list(_messages(log))) if "account" in m), None)
    if last is None:
        return "the machine starts", None
    activity = f"{last['account']}: {last['message']}"
    if "loss" in last:
        activity += f", loss {last['loss']:.2f}"
    return activity, last["step"] / last["steps"] if last.get("steps") else None
