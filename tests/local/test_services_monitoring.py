"""Alerts, channels, dashboards and budgets: what Google would refuse is refused here."""

import json
from typing import Any

import pytest

from local.services.monitoring.resources import BUDGET, CHANNEL, DASHBOARD, POLICY
from tests.local.declaring import PROJECT, Declarer, Refused

FAILED = (
    'resource.type = "cloud_run_job" AND metric.labels.result = "failed"'
    ' AND metric.type = "run.googleapis.com/job/completed_execution_count"'
)
RATE = {"notificationRateLimit": {"period": "3600s"}}


def threshold(**changes: Any) -> dict[str, Any]:
    aligned = {"alignmentPeriod": "300s", "perSeriesAligner": "ALIGN_DELTA"}
    given = {
        "filter": FAILED,
        "comparison": "COMPARISON_GT",
        "duration": "0s",
        "aggregations": [aligned],
        **changes,
    }
    return {"displayName": "failed", "conditionThreshold": given}


def absent(duration: str, text: str = FAILED) -> dict[str, Any]:
    aligned = {"alignmentPeriod": "300s", "perSeriesAligner": "ALIGN_DELTA"}
    given = {"filter": text, "duration": duration, "aggregations": [aligned]}
    return {"displayName": "absent", "conditionAbsent": given}


def logged(text: str = 'resource.type="build" AND severity>=ERROR') -> dict[str, Any]:
    return {"displayName": "logged", "conditionMatchedLog": {"filter": text}}


def policy(declarer: Declarer, *conditions: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = {"combiner": "OR", "displayName": "test", "conditions": list(conditions), **more}
    return declarer.declare(POLICY, "policy", **given)


def test_a_policy_is_named_by_google_and_changes_in_place(declarer: Declarer) -> None:
    first = policy(declarer, threshold())
    assert first["name"].startswith(f"projects/{PROJECT}/alertPolicies/")
    assert policy(declarer, logged(), alertStrategy=RATE)["id"] == first["id"]
    assert policy(declarer, absent("84600s"))["id"] == first["id"]


REFUSED: list[tuple[list[dict[str, Any]], dict[str, Any], str]] = [
    ([threshold(comparison="COMPARISON_GE")], {}, "COMPARISON_GT and COMPARISON_LT alone"),
    ([threshold(comparison="GT")], {}, "'GT' is not allowed"),
    ([threshold(duration="90s")], {}, "'90s' is not whole minutes"),
    ([threshold(duration="5m")], {}, "'5m' is not whole minutes"),
    ([threshold(filter=FAILED.replace("_count", "s"))], {}, "metric.type"),
    ([threshold(filter=FAILED.replace("result", "outcome"))], {}, "no label 'outcome'"),
    ([threshold(filter=FAILED.replace("_job", "_service", 1))], {}, "resource.type"),
    ([threshold(aggregations=[{"perSeriesAligner": "ALIGN_MAX"}])], {}, "of kind DELTA"),
    ([threshold(aggregations=[{"perSeriesAligner": "ALIGN_MOST"}])], {}, "did you mean"),
    ([threshold(filtre=FAILED)], {}, "filtre"),
    ([absent("86400s")], {}, "'86400s' is not 120 s to 84600 s"),
    ([absent("60s")], {}, "'60s' is not 120 s"),
    ([absent("3600s", FAILED.replace("_count", "s"))], {}, "metric.type"),
    ([{"displayName": "empty"}], {}, "exactly one of"),
    ([threshold()] * 7, {}, "7 conditions"),
    ([threshold()], {"alertStrategy": RATE}, "for conditions on log entries alone"),
    ([threshold()], {"severity": "BAD"}, "'BAD' is not allowed"),
    ([logged()], {}, "needs notificationRateLimit"),
    ([logged(), logged()], {"alertStrategy": RATE}, "the only one of its policy"),
    ([logged('resource.type="cloud_build"')], {"alertStrategy": RATE}, "'cloud_build'"),
    ([logged('resource.type="build" AND resource.labels.trigger="x"')], {}, "'trigger'"),
    ([threshold()], {"notificationChannels": ["projects/x/notificationChannels/1"]}, "another"),
]


def test_a_policy_that_google_would_refuse_is_refused(declarer: Declarer) -> None:
    for conditions, more, error in REFUSED:
        with pytest.raises(Refused, match=error):
            policy(declarer, *conditions, **more)


def test_a_channel_needs_its_address_and_stays_while_a_policy_names_it(declarer: Declarer) -> None:
    with pytest.raises(Refused, match="email_address"):
        declarer.declare(CHANNEL, "ops", type="email", labels={"address": "ops@example.com"})
    labels = {"email_address": "ops@example.com"}
    channel = declarer.declare(CHANNEL, "ops", type="email", labels=labels)
    policy(declarer, threshold(), notificationChannels=[channel["name"]])
    with pytest.raises(Refused, match="is referred to by 'test'"):
        declarer.remove(CHANNEL, "ops")
    declarer.remove(POLICY, "policy")
    declarer.remove(CHANNEL, "ops")


def test_a_dashboard_is_json_with_a_name_and_one_layout(declarer: Declarer) -> None:
    page: dict[str, Any] = {"displayName": "test", "gridLayout": {"widgets": []}}
    declarer.declare(DASHBOARD, "page", dashboardJson=json.dumps(page))
    for wrong, error in (
        ("{", "not JSON"),
        (json.dumps({**page, "mosaicLayout": {}}), "exactly one layout"),
        (json.dumps({**page, "filter": FAILED.replace("_count", "s")}), "metric.type"),
    ):
        with pytest.raises(Refused, match=error):
            declarer.declare(DASHBOARD, "page", dashboardJson=wrong)


def test_a_budget_names_projects_by_number(declarer: Declarer) -> None:
    amount = {"specifiedAmount": {"units": "50"}}

    def budget(project: str) -> dict[str, Any]:
        return declarer.declare(
            BUDGET,
            "month",
            billingAccount="01ABCD-23EF45-6789AB",
            amount=amount,
            budgetFilter={"projects": [project]},
        )

    with pytest.raises(Refused, match="'projects/my-project' is not projects/<number>"):
        budget("projects/my-project")
    assert budget("projects/123456789012")["id"].startswith("billingAccounts/01ABCD-")


def test_a_budget_in_another_currency_than_the_billing_accounts_is_refused(
    declarer: Declarer,
) -> None:
    def budget(**more: str) -> dict[str, Any]:
        return declarer.declare(
            BUDGET,
            "month",
            billingAccount="01ABCD-23EF45-6789AB",
            amount={"specifiedAmount": {"units": "50", **more}},
        )

    with pytest.raises(
        Refused, match=r"currencyCode: 'USD' is not the billing account's 'EUR': leave it out"
    ):
        budget(currencyCode="USD")
    budget()
