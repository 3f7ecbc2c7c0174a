"""Alerts, channels, dashboards and budgets: declared and checked.

It cannot show that anything is measured, nor that anybody is notified.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar, cast

from local.engine.handler import Failure, Json
from local.services.context import GoogleError, items, section, unique_number
from local.services.handler import GoogleHandler
from local.services.monitoring.filters import log_filter_errors, metric_filter_errors

POLICY = "gcp:monitoring/alertPolicy:AlertPolicy"
CHANNEL = "gcp:monitoring/notificationChannel:NotificationChannel"
DASHBOARD = "gcp:monitoring/dashboard:Dashboard"
BUDGET = "gcp:billing/budget:Budget"

_MOST_CONDITIONS = 6
_LONGEST_ABSENCE = 23 * 3600 + 30 * 60  # seconds
# The currency of the local cloud's billing account. Google refuses any other than the account's.
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


class _Numbered(GoogleHandler):
    """A resource whose name has a number of Google's choosing."""

    collection: ClassVar = ""
    physical_name: ClassVar = None
    replace_on: ClassVar = frozenset({"project"})

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Records it."""
        number = unique_number(self.collection, name, self._context.timestamp())[:16]
        full = f"projects/{inputs['project']}/{self.collection}/{number}"
        return full, {"name": full}


class Channel(_Numbered):
    """A way to notify a person."""

    collection: ClassVar = "notificationChannels"
    replace_on: ClassVar = frozenset({"project", "type"})

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Refuses an e-mail channel without an address."""
        if inputs["type"] == "email" and "email_address" not in section(inputs, "labels"):
            yield "labels", "a channel of type 'email' needs the label email_address"

    def delete(self, id_: str, outputs: Json) -> None:
        """Refuses while a policy refers to it, as at Google."""
        if outputs.get("forceDelete"):
            return
        for policy in self._context.resources.of_type(POLICY):
            if id_ in items(policy.inputs, "notificationChannels"):
                raise GoogleError(f"{id_} is referred to by {policy.inputs['displayName']!r}")


class Policy(_Numbered):
    """An alert."""

    collection: ClassVar = "alertPolicies"

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Yields what Cloud Monitoring refuses, and metrics and labels that do not exist."""
        return policy_failures(inputs)

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Records it; refused where a channel does not exist."""
        self.update("", {}, inputs)
        return super().create(name, inputs)

    def update(self, _id: str, _old_outputs: Json, inputs: Json) -> Json:
        """Records it; refused where a channel does not exist."""
        for channel in items(inputs, "notificationChannels"):
            if not str(channel).startswith(f"projects/{inputs['project']}/"):
                raise GoogleError(f"{channel} is of another project than the policy's")
        return {}


def policy_failures(inputs: Json) -> Iterator[Failure]:
    """Yields what Cloud Monitoring refuses about an alert."""
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
        for path, reason in _condition_failures(condition):
            yield f"{at}.{path}", reason


def _condition_failures(condition: Json) -> Iterator[Failure]:
    matched = condition.get("conditionMatchedLog")
    if matched:
        for reason in log_filter_errors(matched["filter"]):
            yield "conditionMatchedLog.filter", reason
    threshold = condition.get("conditionThreshold")
    if threshold:
        at = "conditionThreshold"
        if threshold["comparison"] not in ("COMPARISON_GT", "COMPARISON_LT"):
            yield f"{at}.comparison", "Cloud Monitoring takes COMPARISON_GT and COMPARISON_LT alone"
        yield from _metric_failures(at, threshold, 0, None)
    absent = condition.get("conditionAbsent")
    if absent:
        yield from _metric_failures("conditionAbsent", absent, 120, _LONGEST_ABSENCE)


def _metric_failures(
    at: str, condition: Json, shortest: int, longest: int | None
) -> Iterator[Failure]:
    """Yields what is wrong with a condition on a metric; its duration has bounds in seconds.

    Source: https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies
    """
    duration = condition["duration"]
    if not re.fullmatch(r"\d+s", duration) or int(duration[:-1]) % 60:
        yield f"{at}.duration", f"{duration!r} is not whole minutes in seconds"
    elif int(duration[:-1]) < shortest or (longest and int(duration[:-1]) > longest):
        yield f"{at}.duration", f"{duration!r} is not {shortest} s to {longest} s"
    aggregations = items(condition, "aggregations")
    aligner = aggregations[0].get("perSeriesAligner", "") if aggregations else ""
    for reason in metric_filter_errors(condition.get("filter") or "", aligner):
        yield f"{at}.filter", reason


class Dashboard(_Numbered):
    """A page of charts."""

    collection: ClassVar = "dashboards"

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Refuses what is not JSON with a name and one layout, and charts of unknown metrics."""
        try:
            page: Json = json.loads(inputs["dashboardJson"])
        except ValueError as error:
            yield "dashboardJson", f"is not JSON: {error}"
            return
        layouts = {"gridLayout", "mosaicLayout", "rowLayout", "columnLayout"} & page.keys()
        if not page.get("displayName") or len(layouts) != 1:
            yield "dashboardJson", "needs displayName and exactly one layout"
            return
        for text in _filters(page):
            if "metric.type" in text:
                for reason in metric_filter_errors(text):
                    yield "dashboardJson", reason

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Records it. It has no output `name`."""
        return super().create(name, inputs)[0], {}


def _filters(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in cast("Json", value).items():
            if key == "filter" and isinstance(inner, str):
                yield inner
            else:
                yield from _filters(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _filters(inner)


class Budget(GoogleHandler):
    """A monthly sum of a billing account."""

    physical_name: ClassVar = None
    replace_on: ClassVar = frozenset({"billingAccount"})

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Refuses another currency, too many channels, and projects that are not numbers.

        Google returns projects by number, so every refresh would find other ones.
        """
        for project in items(section(inputs, "budgetFilter"), "projects"):
            if not re.fullmatch(r"projects/\d+", project):
                yield "budgetFilter.projects", f"{project!r} is not projects/<number>"
        currency = section(section(inputs, "amount"), "specifiedAmount").get("currencyCode")
        if currency not in (None, _CURRENCY):
            reason = f"{currency!r} is not the billing account's {_CURRENCY!r}: leave it out"
            yield "amount.specifiedAmount.currencyCode", reason
        channels = items(section(inputs, "allUpdatesRule"), "monitoringNotificationChannels")
        if len(channels) > 5:
            yield "allUpdatesRule", f"{len(channels)} channels are more than 5"

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Records it."""
        number = unique_number(name, self._context.timestamp())
        return f"billingAccounts/{inputs['billingAccount']}/budgets/{number}", {"name": number}
