"""What `python -m local` prints: tables of what there is, and a line for each job that ran."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Json = dict[str, Any]

# How many of the newest executions and builds are shown.
_NEWEST = 8


def show(status: Json) -> None:
    """Print a status as tables."""
    console = Console(highlight=False, markup=False)
    console.print(
        f"{status['resources']} resources of project {status['project']}; "
        f"it is {_time(status['now'])}; X is at {status['x']}"
    )
    _table(
        console, "Next ticks", ["at", "job"], ([_time(t["at"]), t["job"]] for t in status["ticks"])
    )
    _table(
        console,
        "Last attempts of the schedules",
        ["at", "job", "outcome"],
        ([_time(a["fired"]), a["job"], a["error"] or a["execution"]] for a in status["attempts"]),
    )
    _table(
        console,
        "Executions",
        ["started", "execution", "attempts", "outcome"],
        (
            [
                _time(e["started"]),
                e["name"],
                str(e["attempts"]),
                _outcome(e["outcome"], e["reason"]),
            ]
            for e in status["executions"][-_NEWEST:]
        ),
    )
    _table(
        console,
        "Builds",
        ["started", "build", "for", "outcome"],
        (
            [
                _time(b["started"]),
                b["id"],
                " ".join(v for k, v in b["substitutions"].items() if k.startswith("_")),
                _outcome(b["status"], b["reason"]),
            ]
            for b in status["builds"][-_NEWEST:]
        ),
    )
    _table(
        console,
        "Machines",
        ["started", "machine", "zone", "status"],
        (
            [_time(i["started"]), i["name"], i["zone"], _outcome(i["status"], i["reason"])]
            for i in status["instances"]
        ),
    )
    _table(
        console,
        "Services",
        ["service", "at", "status"],
        ([s["name"], s["url"], s["status"]] for s in status["services"]),
    )
    for problem in status["problems"]:
        console.print(f"problem: {problem}")


def fired(results: Sequence[Json]) -> int:
    """Print what became of each job; 1 if any attempt or execution failed, else 0."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not results:
        console.print("no schedule is declared, or all are paused")
        return 0
    for result in results:
        attempt, execution = result["attempt"], result["execution"]
        if attempt and attempt["error"]:
            console.print(f"{_time(attempt['due'])} {attempt['job']}: {attempt['error']}")
        if execution:
            at = _time(attempt["due"] if attempt else execution["started"])
            outcome = _outcome(execution["outcome"], execution["reason"])
            console.print(f"{at} {execution['name']}: {outcome} (log: {execution['log']})")
    return int(any(_failed(result) for result in results))


def _failed(result: Json) -> bool:
    execution = result["execution"]
    return execution is None or execution["outcome"] != "succeeded"


def _table(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    if table.row_count:
        console.print(table)


def _outcome(outcome: str, reason: str) -> str:
    return f"{outcome}: {reason}" if reason else outcome


def _time(text: str) -> str:
    return text[:19].replace("T", " ")
