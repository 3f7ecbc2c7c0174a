"""What is wrong with filters of time series and of log entries.

Only the metrics and resources that the programs use are known. It cannot show that such a metric or
log entry is ever written.
"""

import re
from collections.abc import Iterator, Mapping

_LONGEST_FILTER = 2048
_LONGEST_LOG_FILTER = 20_000

# By metric type: the monitored resource, the metric's labels, and whether its points are counts of
# a period (DELTA) or readings (GAUGE).
# Source: https://cloud.google.com/monitoring/api/metrics_gcp
METRICS: Mapping[str, tuple[str, frozenset[str], str]] = {
    "run.googleapis.com/job/completed_execution_count": (
        "cloud_run_job",
        frozenset({"result"}),
        "DELTA",
    ),
    "compute.googleapis.com/instance/uptime_total": (
        "gce_instance",
        frozenset({"instance_name"}),
        "GAUGE",
    ),
}
# The labels of each monitored resource.
# Source: https://cloud.google.com/monitoring/api/resources
RESOURCES: Mapping[str, frozenset[str]] = {
    "build": frozenset({"project_id", "build_id", "build_trigger_id"}),
    "cloud_run_job": frozenset({"project_id", "job_name", "location"}),
    "cloud_scheduler_job": frozenset({"project_id", "location", "job_id"}),
    "gce_instance": frozenset({"project_id", "instance_id", "zone"}),
}
# The aligners that each kind of points allows.
_ALIGNERS = {
    "DELTA": {"ALIGN_DELTA", "ALIGN_RATE", "ALIGN_SUM", "ALIGN_COUNT"},
    "GAUGE": {"ALIGN_MAX", "ALIGN_MIN", "ALIGN_MEAN", "ALIGN_NEXT_OLDER", "ALIGN_COUNT"},
}


def metric_filter_errors(text: str, aligner: str = "") -> Iterator[str]:
    """Yields what is wrong with a filter of time series, and with how they are aligned."""
    if len(text) > _LONGEST_FILTER:
        yield f"{len(text)} characters are more than {_LONGEST_FILTER}"
    metric = _value(text, "metric.type")
    if metric not in METRICS:
        yield f"metric.type {metric!r} is not one of {', '.join(METRICS)}"
        return
    resource, labels, kind = METRICS[metric]
    if _value(text, "resource.type") != resource:
        yield f"resource.type is {_value(text, 'resource.type')!r}; {metric} is of {resource!r}"
    yield from _unknown(text, "metric", labels)
    yield from _unknown(text, "resource", RESOURCES[resource])
    if aligner and aligner not in _ALIGNERS[kind]:
        yield f"{aligner} cannot be used on {metric}, whose points are of kind {kind}"


def log_filter_errors(text: str) -> Iterator[str]:
    """Yields what is wrong with a filter of log entries."""
    if len(text) > _LONGEST_LOG_FILTER:
        yield f"{len(text)} characters are more than {_LONGEST_LOG_FILTER}"
    resource = _value(text, "resource.type")
    if resource not in RESOURCES:
        yield f"resource.type {resource!r} is not one of {', '.join(RESOURCES)}"
        return
    yield from _unknown(text, "resource", RESOURCES[resource])


def _value(text: str, key: str) -> str:
    found = re.search(rf'(?<![\w.]){re.escape(key)}\s*=\s*"([^"]*)"', text)
    return found[1] if found else ""


def _unknown(text: str, of: str, labels: frozenset[str]) -> Iterator[str]:
    for name in sorted(set(re.findall(rf"(?<![\w.]){of}\.labels?\.(\w+)", text)) - labels):
        yield f"{of} has no label {name!r}; there are {', '.join(sorted(labels))}"
