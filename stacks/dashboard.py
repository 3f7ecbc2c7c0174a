"""The dashboard: executions and errors of jobs, the watcher's log, and the machines' uptime.

Charts select jobs by the prefix of their names, so adding an account does not change them. If the
name of another stack in the project has the same prefix, its jobs are shown as well.
"""

import json
from typing import Any

from pipeline import layout
from stacks import alerts
from stacks.config import Stack

_WIDTH, _HEIGHT = 6, 4


def dashboard(stack: Stack) -> str:
    """The dashboard as JSON.

    Source: https://cloud.google.com/monitoring/api/ref_v3/rest/v1/projects.dashboards
    """
    tiles = [
        _chart(
            "executions by job and result",
            f'resource.type = "cloud_run_job" AND {_named("job_name", stack.name)}'
            ' AND metric.type = "run.googleapis.com/job/completed_execution_count"',
            by=["resource.label.job_name", "metric.label.result"],
        ),
        _logs(
            "errors of jobs",
            f'resource.type="cloud_run_job" AND resource.labels.job_name=~"^{stack.name}-"'
            " AND severity>=ERROR",
        ),
        _logs(
            "log of the watcher",
            f'resource.type="cloud_run_job"'
            f' AND resource.labels.job_name="{layout.watcher_job(stack.name)}"',
        ),
    ]
    if stack.training is not None:
        tiles.append(
            _chart(
                "uptime of training machines in seconds",
                alerts.old_machine(stack.name),
                by=["metric.label.instance_name"],
                aligner="ALIGN_MAX",
                reducer="REDUCE_MAX",
            )
        )
    mosaic = {
        "columns": 2 * _WIDTH,
        "tiles": [
            {
                "xPos": number % 2 * _WIDTH,
                "yPos": number // 2 * _HEIGHT,
                "width": _WIDTH,
                "height": _HEIGHT,
                "widget": tile,
            }
            for number, tile in enumerate(tiles)
        ],
    }
    return json.dumps({"displayName": f"{stack.name}: tweet bots", "mosaicLayout": mosaic})


def _named(label: str, stack: str) -> str:
    return f'resource.labels.{label} = starts_with("{stack}-")'


def _chart(
    title: str,
    filter_: str,
    *,
    by: list[str],
    aligner: str = "ALIGN_DELTA",
    reducer: str = "REDUCE_SUM",
) -> dict[str, Any]:
    series = {
        "filter": filter_,
        "aggregation": {
            "alignmentPeriod": "3600s",
            "perSeriesAligner": aligner,
            "crossSeriesReducer": reducer,
            "groupByFields": by,
        },
    }
    plot = {"timeSeriesQuery": {"timeSeriesFilter": series}, "plotType": "STACKED_BAR"}
    return {"title": title, "xyChart": {"dataSets": [plot]}}


def _logs(title: str, filter_: str) -> dict[str, Any]:
    return {"title": title, "logsPanel": {"filter": filter_}}
