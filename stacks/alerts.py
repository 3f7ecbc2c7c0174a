"""What people are told of: one alert for each thing that goes wrong by itself, and what to do then.

Several stacks may share a project, and the name of one may begin with another's. So filters name
this stack's jobs, bucket and trigger one by one, or its label: never a prefix. That an
account's jobs stand in them is the one thing that adding an account changes outside of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import pulumi
import pulumi_gcp as gcp

from pipeline import events
from stacks import naming
from stacks.component import Component
from stacks.config import Stack
from stacks.foundation import Foundation
from stacks.release import Release

# Characters of a metric filter, and conditions of a policy, that Cloud Monitoring takes.
_LONGEST_FILTER = 2048
_MOST_CONDITIONS = 6
_EXECUTIONS = (
    'resource.type = "cloud_run_job"'
    ' AND metric.type = "run.googleapis.com/job/completed_execution_count"'
)
# Seconds; the longest that Cloud Monitoring looks back for what is absent.
_ABSENT = 23 * 3600 + 30 * 60
# Seconds after its hard limit in which a machine may still be on its way out.
_GOING = 15 * 60


@dataclass(frozen=True)
class Alert:
    """How an alert is called, how bad it is, and what to do; in Markdown."""

    title: str
    severity: Literal["CRITICAL", "ERROR", "WARNING"]
    what_to_do: str


ALERTS = {
    "failed-executions": Alert(
        "a job failed",
        "ERROR",
        "The incident names the Run job. Its last execution's log ends with one line of severity"
        " ERROR that names the mend; after it, run the job again or wait for its schedule. A slot"
        " is posted once at most, and a page of tweets bought once, however often a job runs.",
    ),
    "silent-account": Alert(
        "an account has gone silent",
        "ERROR",
        "For two ticks of a schedule in a row an account has posted or collected nothing, or never"
        " has since it was declared. `bots status` shows its slots without a post and why; a new"
        " account needs its keys (`bots credentials`) and a first release (train it). If no job"
        " ran at all, look at Cloud Scheduler.",
    ),
    "stopped-watcher": Alert(
        "the watcher has stopped",
        "CRITICAL",
        "For almost a day the watcher has not ended well, so nobody would tell of a silent account"
        " or an image that was not built. Its job's last log says why; if it has not run at all,"
        " look at Cloud Scheduler. Run the job again after the mend.",
    ),
    "stale-image": Alert(
        "a live image is not what its pointers say",
        "ERROR",
        "For an hour `:live` has not been the image of the release and the app base that the"
        " account's pointers ask for, although the watcher asked for a build again. The newest"
        " build's log in Cloud Build says why; `bots rollback` makes an earlier release live"
        " meanwhile. Where there is no newer build at all, the project may not build in its"
        " `build_region`, so choose another and run `pulumi up`; or the trigger no longer hears of"
        " pointers, which `pulumi up --replace '**trigger:Trigger::rollout'` mends.",
    ),
    "scheduler-errors": Alert(
        "a schedule could not start its job",
        "ERROR",
        "Cloud Scheduler's call was refused or not answered; the log entry has the status. 403: a"
        " grant is missing, so run `pulumi up --refresh`. 404: the job is gone, likewise. 5xx:"
        " Google's trouble, which the retries outlast or not; the next tick comes anyway.",
    ),
    "failed-builds": Alert(
        "a release's build failed",
        "WARNING",
        "The build's log names the step: `fetch` (the release is not whole), `bundle` (the image"
        " does not build, or its self-test refused the model), `live` (the tag could not be"
        " moved). The account goes on with the image that it has, and the watcher asks for the"
        " build again; a release that fails its self-test is undone by `bots rollback`.",
    ),
    "spend-limit": Alert(
        "a monthly spending limit is reached",
        "WARNING",
        "Reading or posting of the account that the line names has stopped until the month ends"
        " (UTC). That is what the limit is for: raise `reads_usd_per_month` or"
        " `posts_usd_per_month` and run `pulumi up`, or wait.",
    ),
    "old-machine": Alert(
        "a training machine outlives its limit",
        "CRITICAL",
        "A machine of this stack runs longer than `training.hours`, at which Google should have"
        " stopped it; it costs money by the minute. Delete it: `gcloud compute instances delete`."
        " Nothing is lost but its run.",
    ),
    "left-machine": Alert(
        "a training machine by hand is left over",
        "WARNING",
        "The run that the stack file names has ended, or its hours have passed: powered off,"
        " stopped, or taken away as SPOT machines are. What is left of its machines costs money,"
        " the disk at least. Remove `run:` from `training:` and run `pulumi up`. A machine that"
        " left no result tells why in its log, in Cloud Logging; name another run to try again.",
    ),
    "failed-training": Alert(
        "scheduled training failed",
        "ERROR",
        "The last line of the job's log names the reason: no zone had a machine (add zones or"
        " `training.fallbacks`, or ask for quota), the machine powered off without a result (its"
        " log is in Cloud Logging), or it ran into its limit. Accounts keep their live release;"
        " the next run of the schedule tries again.",
    ),
}


def jobs(stack: Stack) -> list[str]:
    """The names of the Run jobs that every stack has, which their schedules bear too."""
    return [
        *(
            naming.job(stack.name, name, what)
            for name, account in stack.accounts.items()
            for what, cron in (("collect", account.collect), ("post", account.post))
            if cron is not None
        ),
        naming.watcher(stack.name),
    ]


def watchers_successes(stack: str) -> str:
    """Metric filter for executions of the stack's watcher that ended well."""
    return (
        f'{_EXECUTIONS} AND metric.labels.result = "succeeded"'
        f' AND resource.labels.job_name = "{naming.watcher(stack)}"'
    )


def failed_executions(names: Sequence[str]) -> list[str]:
    """Metric filters for failed executions of these jobs, each as long as one may be."""
    common = f'{_EXECUTIONS} AND metric.labels.result = "failed"'
    each = max(len(name) for name in names) + len('"", ')
    fitting = (_LONGEST_FILTER - len(common) - 100) // each
    return [
        f"{common} AND resource.labels.job_name = one_of({_quoted(part, ', ')})"
        for part in _parts(names, fitting)
    ]


def old_machine(stack: str) -> str:
    """Metric filter for how long the stack's machines have been up."""
    return (
        'resource.type = "gce_instance"'
        ' AND metric.type = "compute.googleapis.com/instance/uptime_total"'
        ' AND metadata.user_labels.program = "gpt2-bots"'
        f' AND metadata.user_labels.stack = "{stack}"'
    )


def watchers_event(stack: str, event: str) -> str:
    """Log filter for what the stack's watcher reports."""
    return (
        f'resource.type="cloud_run_job" AND resource.labels.job_name="{naming.watcher(stack)}"'
        f' AND jsonPayload.event="{event}"'
    )


def spend_limit(bucket: str) -> str:
    """Log filter for a spending guard that tripped, of a job that keeps its ledger there."""
    return (
        'resource.type="cloud_run_job"'
        f' AND jsonPayload.event="{events.SPEND_LIMIT}" AND jsonPayload.bucket="{bucket}"'
    )


def scheduler_errors(names: Sequence[str]) -> str:
    """Log filter for calls of these schedules that came to nothing."""
    return (
        'resource.type="cloud_scheduler_job" AND severity>=ERROR'
        f" AND resource.labels.job_id=({_quoted(names, ' OR ')})"
    )


def failed_builds(trigger: str) -> str:
    """Log filter for the line with which a build of one trigger ends when it fails."""
    return (
        f'resource.type="build" AND resource.labels.build_trigger_id="{trigger}"'
        ' AND textPayload=~"^(ERROR|TIMEOUT)"'
    )


_T = TypeVar("_T")


def _parts(whole: Sequence[_T], size: int) -> Iterator[list[_T]]:
    for start in range(0, len(whole), size):
        yield list(whole[start : start + size])


def _quoted(names: Sequence[str], joint: str) -> str:
    return joint.join(f'"{name}"' for name in names)


class Alerts(Component):
    """The alert policies of one project's share of a stack."""

    def __init__(
        self, foundation: Foundation, release: Release, channels: list[pulumi.Input[str]]
    ) -> None:
        super().__init__(foundation.named("alerts"), foundation)
        self._foundation = foundation
        self._channels = channels
        stack = foundation.stack
        names = jobs(stack)
        self._counted("failed-executions", *failed_executions(names), by="resource.label.job_name")
        self._logged("silent-account", watchers_event(stack.name, events.SILENT))
        self._absent("stopped-watcher", watchers_successes(stack.name))
        self._logged("stale-image", watchers_event(stack.name, events.IMAGE_STALE))
        self._logged("spend-limit", foundation.data.name.apply(spend_limit))
        self._logged("failed-builds", release.trigger.trigger_id.apply(failed_builds))
        training = stack.training
        if training is not None and training.schedule is not None:
            retrain = naming.retrain(stack.name)
            self._counted(
                "failed-training", *failed_executions([retrain]), by="resource.label.job_name"
            )
            names.append(retrain)
        self._logged("scheduler-errors", scheduler_errors(names))
        if training is not None:
            self._old_machine(training.hours * 3600 + _GOING)
            self._logged("left-machine", watchers_event(stack.name, events.MACHINE_LEFT))
        self.register_outputs({})

    def _counted(self, key: str, *filters: str, by: str) -> None:
        """An alert for every event of a metric that counts what goes wrong."""
        conditions = [
            self._threshold(key, filter_, 0, aligner="ALIGN_DELTA", reducer="REDUCE_SUM", by=[by])
            for filter_ in filters
        ]
        for number, part in enumerate(_parts(conditions, _MOST_CONDITIONS)):
            self._policy(key, part, name=f"{key}-{number + 1}" if number else key)

    def _absent(self, key: str, filter_: str) -> None:
        """An alert for counts that no longer come; Google needs to have seen one before."""
        absent = gcp.monitoring.AlertPolicyConditionConditionAbsentArgs(
            filter=filter_,
            duration=f"{_ABSENT}s",
            aggregations=[
                gcp.monitoring.AlertPolicyConditionConditionAbsentAggregationArgs(
                    alignment_period="300s",
                    per_series_aligner="ALIGN_DELTA",
                    cross_series_reducer="REDUCE_SUM",
                )
            ],
        )
        self._policy(
            key,
            [
                gcp.monitoring.AlertPolicyConditionArgs(
                    display_name=ALERTS[key].title, condition_absent=absent
                )
            ],
        )

    def _old_machine(self, seconds: int) -> None:
        filter_ = old_machine(self._foundation.stack.name)
        self._policy(
            "old-machine", [self._threshold("old-machine", filter_, seconds, aligner="ALIGN_MAX")]
        )

    def _threshold(
        self,
        key: str,
        filter_: str,
        above: int,
        *,
        aligner: str,
        reducer: str | None = None,
        by: list[str] | None = None,
    ) -> gcp.monitoring.AlertPolicyConditionArgs:
        return gcp.monitoring.AlertPolicyConditionArgs(
            display_name=ALERTS[key].title,
            condition_threshold=gcp.monitoring.AlertPolicyConditionConditionThresholdArgs(
                filter=filter_,
                comparison="COMPARISON_GT",
                threshold_value=above,
                duration="0s",
                aggregations=[
                    gcp.monitoring.AlertPolicyConditionConditionThresholdAggregationArgs(
                        alignment_period="300s",
                        per_series_aligner=aligner,
                        cross_series_reducer=reducer,
                        group_by_fields=by,
                    )
                ],
            ),
        )

    def _logged(self, key: str, filter_: pulumi.Input[str]) -> None:
        """An alert for log entries; a policy has one such condition at most, and a rate."""
        self._policy(
            key,
            [
                gcp.monitoring.AlertPolicyConditionArgs(
                    display_name=ALERTS[key].title,
                    condition_matched_log=gcp.monitoring.AlertPolicyConditionConditionMatchedLogArgs(
                        filter=filter_
                    ),
                )
            ],
            strategy=gcp.monitoring.AlertPolicyAlertStrategyArgs(
                notification_rate_limit=gcp.monitoring.AlertPolicyAlertStrategyNotificationRateLimitArgs(
                    period="3600s"
                ),
                auto_close="86400s",
            ),
        )

    def _policy(
        self,
        key: str,
        conditions: list[gcp.monitoring.AlertPolicyConditionArgs],
        *,
        name: str | None = None,
        strategy: gcp.monitoring.AlertPolicyAlertStrategyArgs | None = None,
    ) -> None:
        alert, stack = ALERTS[key], self._foundation.stack.name
        gcp.monitoring.AlertPolicy(
            self.named(name or key),
            gcp.monitoring.AlertPolicyArgs(
                display_name=f"{stack}: {alert.title}",
                combiner="OR",
                severity=alert.severity,
                conditions=conditions,
                alert_strategy=strategy,
                notification_channels=self._channels,
                documentation=gcp.monitoring.AlertPolicyDocumentationArgs(
                    content=alert.what_to_do, mime_type="text/markdown"
                ),
                # The provider's default labels are not for alert policies.
                user_labels={"program": "gpt2-bots", "stack": stack},
            ),
            pulumi.ResourceOptions(
                parent=self, depends_on=[self._foundation.service("monitoring")]
            ),
        )
