"""Cloud Monitoring and billing budgets: declared and checked, but nothing is measured or told.

It cannot show that a metric or a log entry of that kind is ever written, nor that anybody is told.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from local.provider.kinds import Json, Kind
from local.services.world import GoogleError, World, items, section, unique_number

POLICY = "gcp:monitoring/alertPolicy:AlertPolicy"
CHANNEL = "gcp:monitoring/notificationChannel:NotificationChannel"
DASHBOARD = "gcp:monitoring/dashboard:Dashboard"
BUDGET = "gcp:billing/budget:Budget"

_LONGEST_FILTER = 2048
_LONGEST_LOG_FILTER = 20_000
_MOST_CONDITIONS = 6
# Seconds.
_LONGEST_ABSENCE = 23 * 3600 + 30 * 60
# Of the local cloud's billing account. Google refuses any other than the account's own.
# Source: https://cloud.google.com/billing/docs/reference/budget/rest/v1/billingAccounts.budgets
_CURRENCY = "EUR"
_CONDITIONS = (
    "conditionAbsent",
    "conditionMatchedLog",
    "conditionMonitoringQueryLanguage",
    "conditionPrometheusQueryLanguage",
    "conditionSql",
    "conditionThreshold",
)

# Metric types that the programs use: the monitored resource, the metric's labels, and whether its
# points are counts of a period or readings.
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
# Monitored resources, and their labels.
# Source: https://cloud.google.com/monitoring/api/resources
RESOURCES: Mapping[str, frozenset[str]] = {
    "build": frozenset({"project_id", "build_id", "build_trigger_id"}),
    "cloud_run_job": frozenset({"project_id", "job_name", "location"}),
    "cloud_scheduler_job": frozenset({"project_id", "location", "job_id"}),
    "gce_instance": frozenset({"project_id", "instance_id", "zone"}),
}
# Aligners by what they can be used on.
_ALIGNERS = {
    "DELTA": {"ALIGN_DELTA", "ALIGN_RATE", "ALIGN_SUM", "ALIGN_COUNT"},
    "GAUGE": {"ALIGN_MAX", "ALIGN_MIN", "ALIGN_MEAN", "ALIGN_NEXT_OLDER", "ALIGN_COUNT"},
}


def kinds(world: World) -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {
        POLICY: Policy(world),
        CHANNEL: Channel(world),
        DASHBOARD: Dashboard(world),
        BUDGET: Budget(world),
    }


def complaints_of_metric_filter(text: str, aligner: str = "") -> Iterator[str]:
    """What is wrong with a filter of time series, and with how they are aligned."""
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


def complaints_of_log_filter(text: str) -> Iterator[str]:
    """What is wrong with a filter of log entries."""
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


class _Numbered(Kind):
    """Something of a project with a number of Google's choosing in its name."""

    collection: ClassVar = ""
    physical_name: ClassVar = None
    replace_on: ClassVar = frozenset({"project"})

    def __init__(self, world: World) -> None:
        self._world = world

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Its id is its full name."""
        number = unique_number(self.collection, name, self._world.timestamp())[:16]
        full = f"projects/{inputs['project']}/{self.collection}/{number}"
        return full, {"name": full}


class Channel(_Numbered):
    """A way to tell a person."""

    collection: ClassVar = "notificationChannels"
    replace_on: ClassVar = frozenset({"project", "type"})

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """An e-mail channel needs its address."""
        if inputs["type"] == "email" and "email_address" not in section(inputs, "labels"):
            return [("labels", "a channel of type 'email' needs the label email_address")]
        return []

    def delete(self, id: str, outputs: Json) -> None:  # noqa: A002
        """Refused while a policy refers to it, as at Google."""
        if outputs.get("forceDelete"):
            return
        for policy in self._world.resources.of_type(POLICY):
            if id in items(policy.inputs, "notificationChannels"):
                raise GoogleError(f"{id} is referred to by {policy.inputs['displayName']!r}")


class Policy(_Numbered):
    """An alert."""

    collection: ClassVar = "alertPolicies"

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """What Cloud Monitoring refuses, and what names a metric or a label that is not there."""
        return list(self._complaints(inputs))

    def _complaints(self, inputs: Json) -> Iterator[tuple[str, str]]:
        conditions = inputs["conditions"]
        if not 1 <= len(conditions) <= _MOST_CONDITIONS:
            yield "conditions", f"{len(conditions)} conditions are not 1 to {_MOST_CONDITIONS}"
        logged = [c for c in conditions if "conditionMatchedLog" in c]
        limited = section(inputs, "alertStrategy").get("notificationRateLimit")
        if logged and len(conditions) > 1:
            yield "conditions", "a condition on log entries is the only one of its policy"
        if logged and not limited:
            yield "alertStrategy", "a condition on log entries needs notificationRateLimit"
        if limited and not logged:
            yield "alertStrategy", "notificationRateLimit is for conditions on log entries alone"
        for number, condition in enumerate(conditions):
            at = f"conditions[{number}]"
            given = [kind for kind in _CONDITIONS if condition.get(kind)]
            if len(given) != 1:
                yield at, f"give exactly one of {', '.join(_CONDITIONS)}"
            for path, reason in _condition_complaints(condition):
                yield f"{at}.{path}", reason

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Refused where a channel is not there."""
        self._channels_must_exist(inputs)
        return super().create(name, inputs)

    def update(self, id: str, old_outputs: Json, inputs: Json) -> Json:  # noqa: A002
        """Refused as creating is."""
        del id, old_outputs
        self._channels_must_exist(inputs)
        return {}

    def _channels_must_exist(self, inputs: Json) -> None:
        for channel in items(inputs, "notificationChannels"):
            if not str(channel).startswith(f"projects/{inputs['project']}/"):
                raise GoogleError(f"{channel} is of another project than the policy's")


def _condition_complaints(condition: Json) -> Iterator[tuple[str, str]]:
    matched = condition.get("conditionMatchedLog")
    if matched:
        for reason in complaints_of_log_filter(matched["filter"]):
            yield "conditionMatchedLog.filter", reason
    threshold = condition.get("conditionThreshold")
    if threshold:
        at = "conditionThreshold"
        if threshold["comparison"] not in ("COMPARISON_GT", "COMPARISON_LT"):
            yield f"{at}.comparison", "Cloud Monitoring takes COMPARISON_GT and COMPARISON_LT alone"
        yield from _metric_complaints(at, threshold, 0, None)
    absent = condition.get("conditionAbsent")
    if absent:
        yield from _metric_complaints("conditionAbsent", absent, 120, _LONGEST_ABSENCE)


def _metric_complaints(
    at: str, condition: Json, shortest: int, longest: int | None
) -> Iterator[tuple[str, str]]:
    """Of a condition on a metric; its duration is between two numbers of seconds.

    Source: https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies
    """
    duration = condition["duration"]
    if not re.fullmatch(r"\d+s", duration) or int(duration[:-1]) % 60:
        yield f"{at}.duration", f"{duration!r} is not whole minutes in seconds"
    elif int(duration[:-1]) < shortest or (longest and int(duration[:-1]) > longest):
        yield f"{at}.duration", f"{duration!r} is not {shortest} s to {longest} s"
    aggregations = items(condition, "aggregations")
    aligner = aggregations[0].get("perSeriesAligner", "") if aggregations else ""
    for reason in complaints_of_metric_filter(condition.get("filter") or "", aligner):
        yield f"{at}.filter", reason


class Dashboard(_Numbered):
    """A page of charts."""

    collection: ClassVar = "dashboards"

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """JSON with a name and one layout, and charts of metrics that are there."""
        try:
            page: Json = json.loads(inputs["dashboardJson"])
        except ValueError as error:
            return [("dashboardJson", f"is not JSON: {error}")]
        layouts = {"gridLayout", "mosaicLayout", "rowLayout", "columnLayout"} & page.keys()
        if not page.get("displayName") or len(layouts) != 1:
            return [("dashboardJson", "needs displayName and exactly one layout")]
        filters = [text for text in _filters(page) if "metric.type" in text]
        reasons = [reason for text in filters for reason in complaints_of_metric_filter(text)]
        return [("dashboardJson", reason) for reason in reasons]

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Its id is its full name."""
        return super().create(name, inputs)[0], {}


def _filters(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            if key == "filter" and isinstance(inner, str):
                yield inner
            else:
                yield from _filters(inner)
    elif isinstance(value, list):
        for inner in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _filters(inner)


class Budget(Kind):
    """A monthly sum of a billing account."""

    physical_name: ClassVar = None
    replace_on: ClassVar = frozenset({"billingAccount"})

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """Projects are named by number, or every refresh would find another list."""
        wrong = [
            ("budgetFilter.projects", f"{project!r} is not projects/<number>")
            for project in items(section(inputs, "budgetFilter"), "projects")
            if not re.fullmatch(r"projects/\d+", project)
        ]
        currency = section(section(inputs, "amount"), "specifiedAmount").get("currencyCode")
        if currency not in (None, _CURRENCY):
            wrong.append(
                (
                    "amount.specifiedAmount.currencyCode",
                    f"{currency!r} is not the billing account's {_CURRENCY!r}: leave it out",
                )
            )
        channels = items(section(inputs, "allUpdatesRule"), "monitoringNotificationChannels")
        if len(channels) > 5:
            wrong.append(("allUpdatesRule", f"{len(channels)} channels are more than 5"))
        return wrong

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Its id is its full name."""
        number = unique_number(name, self._world.timestamp())
        return f"billingAccounts/{inputs['billingAccount']}/budgets/{number}", {"name": number}
