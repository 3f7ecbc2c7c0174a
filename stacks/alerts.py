"""The alerts: one for each kind of failure, with instructions for the person who gets it.

Several stacks may share a project, and the name of one may begin with another's. So filters never
select by prefix: they name each job, bucket and trigger of this stack, or the stack's label. A new
account changes only two things of others: the filters that name jobs, and the grants to list.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import pulumi
import pulumi_gcp as gcp

from pipeline import events, layout
from stacks.bucket import Bucket
from stacks.component import Component
from stacks.config import Stack
from stacks.project import Project

# The limits of Cloud Monitoring: characters of a metric filter, and conditions of a policy.
_LONGEST_FILTER = 2048
_MOST_CONDITIONS = 6
_EXECUTIONS = (
    'resource.type = "cloud_run_job"'
    ' AND metric.type = "run.googleapis.com/job/completed_execution_count"'
)
# Seconds. Cloud Monitoring accepts no longer time for an absent metric.
_ABSENT = 23 * 3600 + 30 * 60
# Seconds that Compute Engine may take to stop a machine after the machine's hard limit.
_GOING = 15 * 60


@dataclass(frozen=True)
class Alert:
    """The title and severity of an alert, and what to do about it, in Markdown."""

    title: str
    severity: Literal["CRITICAL", "ERROR", "WARNING"]
    what_to_do: str


ALERTS = {
    "failed-executions": Alert(
        "a job failed",
        "ERROR",
        "The incident names the Cloud Run job. The log of its last execution ends with one line of"
        " severity ERROR that says what to do. Then run the job again, or wait for its schedule."
        " However often a job runs, a slot is posted at most once, and a page of tweets is bought"
        " once.",
    ),
    "silent-account": Alert(
        "an account has gone silent",
        "ERROR",
        "An account has posted or collected nothing for two ticks of its schedule in a row, or has"
        " never done so since it was declared. `bots status` lists its slots without a post, with"
        " the reasons. A new account needs its keys (`bots credentials`) and a first release"
        " (a training run). If no job ran at all, look at Cloud Scheduler.",
    ),
    "stopped-watcher": Alert(
        "the watcher has stopped",
        "CRITICAL",
        "The watcher has had no success for almost a day, so nobody would be told of a silent"
        " account, or of an image that was not built. The last log of its job says why. If the job"
        " has not run at all, look at Cloud Scheduler. When the cause is removed, run the job"
        " again.",
    ),
    "stale-image": Alert(
        "a live image is not what its pointers say",
        "ERROR",
        "For an hour `:live` has not been the image of the release and the app base that the"
        " account's pointers name, although the watcher has asked for the build again. The log of"
        " the newest build in Cloud Build says why. Until that is mended, `bots rollback` makes an"
        " earlier release live. If there is no newer build, there are two possible causes. The"
        " project may not build in its `build_region`: choose another, and run `pulumi up`. Or the"
        " trigger no longer receives messages: run"
        " `pulumi up --replace '**trigger:Trigger::rollout'`.",
    ),
    "scheduler-errors": Alert(
        "a schedule could not start its job",
        "ERROR",
        "Cloud Scheduler's call was refused, or got no response. The log entry has the status. 403:"
        " a grant is missing, so run `pulumi up --refresh`. 404: the job is missing, so do the"
        " same. 5xx: an outage at Google. The retries may outlast it, and the schedule's next tick"
        " comes anyway.",
    ),
    "failed-builds": Alert(
        "a release's build failed",
        "WARNING",
        "The build's log names the step: `fetch` (a file of the release is missing), `bundle` (the"
        " image could not be built, or failed its self-test), or `live` (the tag could not be"
        " moved). The account keeps the image that it has, and the watcher asks for the build"
        " again. If a release fails its self-test, undo it with `bots rollback`.",
    ),
    "spend-limit": Alert(
        "an account has stopped",
        "WARNING",
        "The log entry names an account and says what mends it. At a monthly spending limit, its"
        " reads or posts have stopped until the month ends (UTC). The limit is there to do this."
        " Wait, or raise `reads_usd_per_month` or `posts_usd_per_month` and run `pulumi up`."
        " Otherwise X refuses to be read: the keys are missing or refused, X's credits or its cap"
        " are used up, or the user is protected, suspended or gone. Collecting tells this once,"
        " when it begins, and goes on by itself once it is mended. `bots status` shows it until"
        " then.",
    ),
    "old-machine": Alert(
        "a training machine outlives its limit",
        "CRITICAL",
        "A machine of this stack has run for longer than `training.hours`. Google should have"
        " stopped it, and it costs money by the minute. Delete it with"
        " `gcloud compute instances delete`. Only its training run is lost.",
    ),
    "left-machine": Alert(
        "a machine of a training run by hand is left over",
        "WARNING",
        "The run that the stack file names has ended, or its hours have passed, and its machines"
        " still exist. They are powered off or stopped, but their disks cost money. Remove"
        " `run:` from `training:` and run `pulumi up`. If a machine left no result, its log in"
        " Cloud Logging says why. To try again, name another run.",
    ),
    "failed-training": Alert(
        "scheduled training failed",
        "ERROR",
        "The last line of the job's log has the reason. If no zone had a machine, add zones or"
        " `training.fallbacks`, or ask Google for quota. If the machine powered off without a"
        " result, look at its log in Cloud Logging. It may also have reached its limit of hours."
        " The accounts keep their live releases, and the next run of the schedule tries again.",
    ),
}


def jobs(stack: Stack) -> list[str]:
    """The names of the Run jobs of the accounts and the watcher, and of their schedules."""
    return [
        *(
            layout.job(stack.name, name, role)
            for name, account in stack.accounts.items()
            for role, cron in (("collect", account.collect), ("post", account.post))
            if cron is not None
        ),
        layout.watcher_job(stack.name),
    ]


def watchers_successes(stack: str) -> str:
    """Metric filter for successful executions of the stack's watcher."""
    return (
        f'{_EXECUTIONS} AND metric.labels.result = "succeeded"'
        f' AND resource.labels.job_name = "{layout.watcher_job(stack)}"'
    )


def failed_executions(names: Sequence[str]) -> list[str]:
    """Metric filters for failed executions of these jobs: as few as Google's limit allows."""
    common = f'{_EXECUTIONS} AND metric.labels.result = "failed"'
    each = max(len(name) for name in names) + len('"", ')
    fitting = (_LONGEST_FILTER - len(common) - 100) // each
    return [
        f"{common} AND resource.labels.job_name = one_of({_quoted(part, ', ')})"
        for part in _parts(names, fitting)
    ]


def old_machine(stack: str) -> str:
    """Metric filter for the uptime of the stack's machines."""
    return (
        'resource.type = "gce_instance"'
        ' AND metric.type = "compute.googleapis.com/instance/uptime_total"'
        ' AND metadata.user_labels.program = "gpt2-bots"'
        f' AND metadata.user_labels.stack = "{stack}"'
    )


def watchers_event(stack: str, event: str) -> str:
    """Log filter for an event that the stack's watcher reports."""
    return (
        f'resource.type="cloud_run_job" AND resource.labels.job_name="{layout.watcher_job(stack)}"'
        f' AND jsonPayload.event="{event}"'
    )


def spend_limit(bucket: str) -> str:
    """Log filter for jobs of this bucket that a limit or another state has stopped."""
    stopping = _quoted([events.SPEND_LIMIT, events.STOPPED], " OR ")
    return (
        'resource.type="cloud_run_job"'
        f' AND jsonPayload.event=({stopping}) AND jsonPayload.bucket="{bucket}"'
    )


def scheduler_errors(names: Sequence[str]) -> str:
    """Log filter for calls of these schedules that failed."""
    return (
        'resource.type="cloud_scheduler_job" AND severity>=ERROR'
        f" AND resource.labels.job_id=({_quoted(names, ' OR ')})"
    )


def failed_builds(trigger: str) -> str:
    """Log filter for the last line of a failed build of one trigger."""
    return (
        f'resource.type="build" AND resource.labels.build_trigger_id="{trigger}"'
        ' AND textPayload=~"^(ERROR|TIMEOUT)"'
    )


_T = TypeVar("_T")


def _parts(whole: Sequence[_T], size: int) -> Iterator[list[_T]]:
    for start in range(0, len(whole), size):
        yield list(whole[start : start + size])


def _quoted(names: Sequence[str], separator: str) -> str:
    return separator.join(f'"{name}"' for name in names)


class Alerts(Component):
    """The alert policies of one project of a stack."""

    def __init__(
        self,
        project: Project,
        data: Bucket,
        trigger: gcp.cloudbuild.Trigger,
        channels: list[pulumi.Input[str]],
    ) -> None:
        super().__init__(project.named("alerts"), project)
        self._project = project
        self._channels = channels
        stack = project.stack
        names = jobs(stack)
        self._counted("failed-executions", *failed_executions(names), by="resource.label.job_name")
        self._logged("silent-account", watchers_event(stack.name, events.SILENT))
        self._absent("stopped-watcher", watchers_successes(stack.name))
        self._logged("stale-image", watchers_event(stack.name, events.IMAGE_STALE))
        self._logged("spend-limit", data.name.apply(spend_limit))
        self._logged("failed-builds", trigger.trigger_id.apply(failed_builds))
        training = stack.training
        if training is not None and training.schedule is not None:
            retrain = layout.retrain_job(stack.name)
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
        """An alert for every event of a metric that counts failures."""
        conditions = [
            self._threshold(key, filter_, 0, aligner="ALIGN_DELTA", reducer="REDUCE_SUM", by=[by])
            for filter_ in filters
        ]
        for number, part in enumerate(_parts(conditions, _MOST_CONDITIONS)):
            self._policy(key, part, name=f"{key}-{number + 1}" if number else key)

    def _absent(self, key: str, filter_: str) -> None:
        """An alert for a metric that is absent. It works only if the metric existed before."""
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
        filter_ = old_machine(self._project.stack.name)
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
        """An alert for log entries. A policy takes one such condition, and needs a rate limit."""
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
        alert, stack = ALERTS[key], self._project.stack.name
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
                # The provider does not put its default labels on alert policies.
                user_labels={"program": "gpt2-bots", "stack": stack},
            ),
            pulumi.ResourceOptions(parent=self, depends_on=[self._project.service("monitoring")]),
        )
