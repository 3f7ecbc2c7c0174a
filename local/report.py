"""What `python -m local` prints: tables of what there is, and a line for each job that ran."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Json = dict[str, Any]

# How many executions and builds are shown: the newest.
_NEWEST = 8


def show(status: Json) -> None:
    """Prints a status as tables."""
    console = Console(highlight=False, markup=False)
    console.print(
        f"{status['resources']} resources of project {status['project']}; "
        f"it is {_time(status['now'])}; X is at {status['x']}"
    )
    tables: dict[str, list[dict[str, str]]] = {
        "Next ticks": [{"at": _time(t["at"]), "job": t["job"]} for t in status["ticks"]],
        "Last attempts of the schedules": [
            {"at": _time(a["fired"]), "job": a["job"], "outcome": a["error"] or a["execution"]}
            for a in status["attempts"]
        ],
        "Executions": [
            {
                "started": _time(e["started"]),
                "execution": e["name"],
                "attempts": str(e["attempts"]),
                "outcome": _outcome(e["outcome"], e["reason"]),
            }
            for e in status["executions"][-_NEWEST:]
        ],
        "Builds": [
            {
                "started": _time(b["started"]),
                "build": b["id"],
                "for": " ".join(v for k, v in b["substitutions"].items() if k.startswith("_")),
                "outcome": _outcome(b["status"], b["reason"]),
            }
            for b in status["builds"][-_NEWEST:]
        ],
        "Machines": [
            {
                "started": _time(i["started"]),
                "machine": i["name"],
                "zone": i["zone"],
                "status": _outcome(i["status"], i["reason"]),
            }
            for i in status["instances"]
        ],
        "Services": [
            {"service": s["name"], "at": s["url"], "status": s["status"]}
            for s in status["services"]
        ],
    }
    for title, rows in tables.items():
        if rows:
            table = Table(*rows[0], title=title, title_justify="left")
            for row in rows:
                table.add_row(*row.values())
            console.print(table)
    for problem in status["problems"]:
        console.print(f"problem: {problem}")


def fired(results: Sequence[Json]) -> int:
    """Prints the outcome of each job; returns 1 if any attempt or execution failed, else 0."""
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


def _outcome(outcome: str, reason: str) -> str:
    return f"{outcome}: {reason}" if reason else outcome


def _time(text: str) -> str:
    return text[:19].replace("T", " ")
