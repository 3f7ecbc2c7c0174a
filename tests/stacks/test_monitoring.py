"""Alerts, dashboard and budget."""

import json
import re
from typing import Any

import pulumi
import pytest

from local.services.monitoring.filters import METRICS, log_filter_errors, metric_filter_errors
from local.services.monitoring.resources import policy_failures
from stacks import alerts, config, stack_file
from stacks.alerts import ALERTS
from tests.stacks.recorder import PROJECT_NUMBER, ROOT, Declared, Recorder, declare, stack_values

POLICY = "gcp:monitoring/alertPolicy:AlertPolicy"
CHANNEL = "projects/example-bots-prod/notificationChannels/1234567890"
EVERYTHING = {
    "emails": ["ops@example.com"],
    "channels": [CHANNEL],
    "budget": {"billing_account": "01ABCD-23EF45-6789AB", "amount_per_month": 50},
}


def values(**monitoring: Any) -> dict[str, Any]:
    """prod, with training on a schedule."""
    found = stack_values("prod")
    found["gpt2-bots:monitoring"] = {**EVERYTHING, **monitoring}
    found["gpt2-bots:training"]["schedule"] = "0 3 * * 0"
    return found


@pytest.fixture(scope="module")
def declared() -> Recorder:
    return declare("prod", values())


def filters(policy: Declared) -> list[str]:
    return [
        next(given["filter"] for key, given in c.items() if key.startswith("condition"))
        for c in policy.inputs["conditions"]
    ]


def test_all_alerts_are_declared(declared: Recorder) -> None:
    assert {policy.name for policy in declared.of(POLICY)} == set(ALERTS)


def test_every_alert_says_what_to_do_and_goes_to_all_channels(declared: Recorder) -> None:
    for policy in declared.of(POLICY):
        alert = ALERTS[policy.name]
        assert policy.inputs["documentation"]["content"] == alert.what_to_do
        assert policy.inputs["displayName"] == f"prod: {alert.title}"
        assert CHANNEL in policy.inputs["notificationChannels"]
        assert len(policy.inputs["notificationChannels"]) == 2


def test_the_page_on_monitoring_has_the_text_of_every_alert() -> None:
    page = " ".join((ROOT / "docs/monitoring.md").read_text().split())
    for key, alert in ALERTS.items():
        assert f"### {alert.title} `{key}` {alert.what_to_do}" in page
    assert page.count("### ") == len(ALERTS)


def test_a_machine_past_its_hard_limit_is_reported_within_half_an_hour(declared: Recorder) -> None:
    """A machine costs money by the minute, and Compute Engine takes a while to stop one."""
    policy = declared.one(POLICY, "old-machine")
    (condition,) = policy.inputs["conditions"]
    given = values()["gpt2-bots:training"]
    limit = config.Training.model_validate(given).hours * 3600
    assert 0 < condition["conditionThreshold"]["thresholdValue"] - limit <= 30 * 60


def test_cloud_monitoring_takes_every_policy(declared: Recorder) -> None:
    for policy in declared.of(POLICY):
        assert list(policy_failures(dict(policy.inputs))) == [], policy.name


@pytest.mark.parametrize(
    ("filter_", "wrong"),
    [
        (alerts.old_machine("prod").replace("uptime_total", "uptime_totals"), "metric.type"),
        (alerts.old_machine("prod").replace("gce_instance", "gce_vm"), "resource.type"),
        (alerts.failed_executions(["j"])[0].replace("labels.result", "labels.status"), "'status'"),
        (alerts.failed_executions(["j"])[0].replace("job_name", "job_id"), "'job_id'"),
        (alerts.failed_executions(["job"])[0] + " " * 2048, "2048"),
    ],
)
def test_an_unknown_metric_or_label_in_a_filter_is_found(filter_: str, wrong: str) -> None:
    assert wrong in " ".join(metric_filter_errors(filter_))


def test_an_unknown_label_in_a_log_filter_is_found() -> None:
    wrong = alerts.scheduler_errors(["job"]).replace("job_id", "job_name")
    assert "'job_name'" in " ".join(log_filter_errors(wrong))


def matches(filter_: str, entry: dict[str, str]) -> bool:
    """Whether a time series or log entry with these fields matches a filter.

    Stands in for Google's matching of filters. It knows equality and lists of names, which is all
    that alerts use to select a stack's own resources. All other comparisons match.
    """
    for clause in filter_.split(" AND "):
        comparison = re.fullmatch(r"([\w.]+)\s*(>=|=~|=)\s*(.*)", clause)
        assert comparison is not None, clause
        key, sign, value = comparison.groups()
        if sign != "=":
            continue
        if entry.get(key.replace(".label.", ".labels.")) not in re.findall(r'"([^"]*)"', value):
            return False
    return True


def entries(stack: str, project: str) -> list[dict[str, str]]:
    """An entry that each alert of a stack has to match, made from names."""
    job, event = {"resource.type": "cloud_run_job"}, "jsonPayload.event"
    names = [*alerts.jobs(stack_file.load(stack, stack_of(stack, project))), f"{stack}-retrain"]
    watcher = f"{stack}-watcher"
    return [
        *(
            {
                **job,
                "metric.type": "run.googleapis.com/job/completed_execution_count",
                "metric.labels.result": "failed",
                "resource.labels.job_name": name,
            }
            for name in names
        ),
        {
            **job,
            "metric.type": "run.googleapis.com/job/completed_execution_count",
            "metric.labels.result": "succeeded",
            "resource.labels.job_name": watcher,
        },
        *(
            {"resource.type": "cloud_scheduler_job", "resource.labels.job_id": name}
            for name in names
        ),
        {**job, "resource.labels.job_name": watcher, event: "silent"},
        {**job, "resource.labels.job_name": watcher, event: "image_stale"},
        {**job, event: "spend_limit", "jsonPayload.bucket": f"{project}-{stack}-data"},
        {
            "resource.type": "build",
            "resource.labels.build_trigger_id": f"trigger-of-{stack}-rollout",
        },
        {
            "resource.type": "gce_instance",
            "metric.type": "compute.googleapis.com/instance/uptime_total",
            "metadata.user_labels.program": "gpt2-bots",
            "metadata.user_labels.stack": stack,
        },
    ]


def stack_of(stack: str, project: str) -> dict[str, Any]:
    found = values(channels=[])
    found["gcp:project"] = project
    if stack == "prod-eu":
        # prod-eu-x is then also the name that an account `eu-x` of the stack `prod` would have.
        found["gpt2-bots:accounts"] = {
            f"{name}-x": account for name, account in found["gpt2-bots:accounts"].items()
        }
    return found


def test_stacks_of_one_project_get_no_alerts_about_each_other() -> None:
    project = "example-bots-prod"
    for stack, other in (("prod", "prod-eu"), ("prod-eu", "prod")):
        policies = declare(stack, stack_of(stack, project)).of(POLICY)
        all_filters = [f for policy in policies for f in filters(policy)]
        for entry in entries(stack, project):
            assert any(matches(f, entry) for f in all_filters), entry
        for entry in entries(other, project):
            assert not any(matches(f, entry) for f in all_filters), entry


def test_ninety_accounts_fit_into_the_filters_that_cloud_monitoring_takes() -> None:
    found = values()
    account = {"source": "timeline", "x_terms_acknowledged": True, "consent": "made up"}
    found["gpt2-bots:accounts"] = {
        f"a{'n' * 26}{n:03}": {
            **account,
            "handle": f"h{n}",
            "post": "0 9 * * *",
            "collect": "0 5 * * *",
        }
        for n in range(90)
    }
    recorder = declare("a-stack-with-a-name", found)
    policies = recorder.of(POLICY, lambda p: p.name.startswith("failed-"))
    named = "".join(f for policy in policies for f in filters(policy))
    for job in recorder.of("gcp:cloudrunv2/job:Job"):
        assert named.count(f'"{job.inputs["name"]}"') == 1
    for policy in recorder.of(POLICY):
        assert list(policy_failures(dict(policy.inputs))) == [], policy.name


def test_without_emails_or_channels_there_are_no_alerts() -> None:
    recorder = declare("prod", values(emails=[], channels=[], budget=None))
    assert not recorder.any_of(POLICY)
    assert recorder.of("gcp:monitoring/dashboard:Dashboard")
    found = values()
    del found["gpt2-bots:monitoring"]
    recorder = declare("prod", found)
    assert not [r for r in recorder.resources if r.type.startswith("gcp:monitoring/")]
    assert not recorder.any_of("gcp:billing/budget:Budget")
    watcher = recorder.one("gcp:cloudscheduler/job:Job", "watcher")
    assert watcher.inputs["schedule"] == config.Monitoring().watch


def test_adding_an_account_changes_only_two_alerts_and_the_grant_to_list() -> None:
    before = declare("prod", values())
    more = values()
    more["gpt2-bots:accounts"]["weather"] = {
        "handle": "weatherfrog",
        "source": "archive",
        "consent": "made up",
        "post": "0 12 * * *",
    }
    after = {(r.type, r.name): r.inputs for r in declare("prod", more).resources}
    changed = {r.name for r in before.resources if after[r.type, r.name] != r.inputs}
    assert changed == {"data-list", "failed-executions", "scheduler-errors"}


def test_the_metrics_of_the_dashboard_exist(declared: Recorder) -> None:
    dashboard = declared.one("gcp:monitoring/dashboard:Dashboard")
    page = json.loads(dashboard.inputs["dashboardJson"])
    widgets = [tile["widget"] for tile in page["mosaicLayout"]["tiles"]]
    charts = [w["xyChart"]["dataSets"][0] for w in widgets if "xyChart" in w]
    assert charts
    for chart in charts:
        series = chart["timeSeriesQuery"]["timeSeriesFilter"]
        aligner = series["aggregation"]["perSeriesAligner"]
        assert list(metric_filter_errors(series["filter"], aligner)) == []
    assert any(m in dashboard.inputs["dashboardJson"] for m in METRICS)


def test_tiles_of_the_dashboard_do_not_overlap(declared: Recorder) -> None:
    dashboard = declared.one("gcp:monitoring/dashboard:Dashboard")
    layout = json.loads(dashboard.inputs["dashboardJson"])["mosaicLayout"]
    taken = [
        (x, y)
        for tile in layout["tiles"]
        for x in range(tile["xPos"], tile["xPos"] + tile["width"])
        for y in range(tile["yPos"], tile["yPos"] + tile["height"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < layout["columns"]


def test_a_budget_uses_the_projects_own_quota(declared: Recorder) -> None:
    budget = declared.one("gcp:billing/budget:Budget")
    assert budget.provider.startswith("billing::")
    provider = declared.one("pulumi:providers:gcp", "billing")
    assert provider.inputs["userProjectOverride"] == "true"
    assert provider.inputs["billingProject"] == "example-bots-prod"
    assert budget.inputs["budgetFilter"]["projects"] == [f"projects/{PROJECT_NUMBER}"]
    # Looking up the project would call Cloud Billing, which is not enabled.
    assert set(declared.calls) == {"gcp:storage/getProjectServiceAccount:getProjectServiceAccount"}


def test_a_budget_names_no_currency_so_that_its_billing_accounts_applies(
    declared: Recorder,
) -> None:
    budget = declared.one("gcp:billing/budget:Budget")
    assert budget.inputs["amount"] == {"specifiedAmount": {"units": "50"}}


def test_the_error_for_the_old_key_of_the_budget_names_the_new_key() -> None:
    account = {"billing_account": "01ABCD-23EF45-6789AB"}
    with pytest.raises(pulumi.RunError, match=r"unknown key; did you mean 'amount_per_month'\?"):
        declare("prod", values(budget={**account, "usd_per_month": 50}))


def test_one_budget_covers_all_projects_of_a_stack() -> None:
    spread = values()
    spread["gpt2-bots:accounts"]["baker"]["project"] = "example-bots-more"
    recorder = declare("prod", spread)
    budget = recorder.one("gcp:billing/budget:Budget")
    assert len(budget.inputs["budgetFilter"]["projects"]) == 2
    # Each project has its own alerts, with its own channels.
    further = recorder.of(POLICY, lambda p: p.name.startswith("example-bots-more-"))
    assert len(further) == len(ALERTS)
    for policy in further:
        assert CHANNEL not in policy.inputs["notificationChannels"]


@pytest.mark.parametrize("watch", ["45 5 * * *", "0 * * * 1-5", "0 * 1-7 * *", "0 * * 1-11 *"])
def test_with_alerts_a_watcher_that_runs_too_rarely_to_be_missed_is_an_error(
    watch: str,
) -> None:
    with pytest.raises(pulumi.RunError, match=r"monitoring: watch: '.*' leaves more than 12 hours"):
        declare("prod", values(watch=watch))
    declare("prod", values(watch=watch, emails=[], channels=[]))


@pytest.mark.parametrize("watch", ["*/15 * * * *", "0 0,12 * * *"])
def test_with_alerts_a_watcher_may_run_twice_a_day(watch: str) -> None:
    declare("prod", values(watch=watch))
