"""A Run job, and the schedule that starts it."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from stacks.component import Component
from stacks.foundation import Foundation
from stacks.secret import Secret


@dataclass(frozen=True)
class Schedule:
    """When: a cron expression in a time zone."""

    cron: str
    time_zone: str


class ScheduledJob:
    """A container that runs to its end on a schedule; its resources are children of `part_of`.

    No component of its own: accounts have two, and each would add a fifth to what they register.
    """

    def __init__(
        self,
        name: str,
        part_of: Component,
        foundation: Foundation,
        *,
        physical_name: str,
        image: pulumi.Input[str],
        args: list[str],
        runs_as: gcp.serviceaccount.Account,
        env: Mapping[str, pulumi.Input[str]],
        secrets: Mapping[str, Secret],
        schedule: Schedule,
        timeout: int,
        memory: str,
        needs: list[pulumi.Resource],
    ) -> None:
        self._name = name
        self._part_of = part_of
        self._foundation = foundation
        job = gcp.cloudrunv2.Job(
            name,
            gcp.cloudrunv2.JobArgs(
                name=physical_name,
                location=foundation.stack.region,
                deletion_protection=False,
                template=gcp.cloudrunv2.JobTemplateArgs(
                    task_count=1,
                    template=gcp.cloudrunv2.JobTemplateTemplateArgs(
                        service_account=runs_as.email,
                        timeout=f"{timeout}s",
                        max_retries=1,
                        containers=[
                            gcp.cloudrunv2.JobTemplateTemplateContainerArgs(
                                image=image,
                                args=args,
                                envs=[
                                    gcp.cloudrunv2.JobTemplateTemplateContainerEnvArgs(
                                        name=key, value=value
                                    )
                                    for key, value in {**env, **_names(secrets)}.items()
                                ],
                                resources=gcp.cloudrunv2.JobTemplateTemplateContainerResourcesArgs(
                                    limits={"cpu": "1", "memory": memory}
                                ),
                            )
                        ],
                    ),
                ),
            ),
            part_of.child(foundation.service("run"), *needs, *(s.grant for s in secrets.values())),
        )
        self._run_on(schedule, job)

    def _run_on(self, schedule: Schedule, job: gcp.cloudrunv2.Job) -> None:
        scheduler = self._foundation.scheduler
        grant = gcp.cloudrunv2.JobIamMember(
            self._name,
            gcp.cloudrunv2.JobIamMemberArgs(
                name=job.name,
                location=job.location,
                role="roles/run.jobsExecutor",
                member=scheduler.member,
            ),
            self._part_of.child(),
        )
        gcp.cloudscheduler.Job(
            self._name,
            gcp.cloudscheduler.JobArgs(
                name=job.name,
                region=self._foundation.stack.region,
                schedule=schedule.cron,
                time_zone=schedule.time_zone,
                attempt_deadline="60s",
                retry_config=gcp.cloudscheduler.JobRetryConfigArgs(retry_count=3),
                http_target=gcp.cloudscheduler.JobHttpTargetArgs(
                    http_method="POST",
                    uri=pulumi.Output.concat("https://run.googleapis.com/v2/", job.id, ":run"),
                    # Google's own APIs take OAuth tokens; OIDC is for services of one's own.
                    oauth_token=gcp.cloudscheduler.JobHttpTargetOauthTokenArgs(
                        service_account_email=scheduler.email
                    ),
                ),
            ),
            self._part_of.child(self._foundation.service("cloudscheduler"), grant),
        )


def _names(secrets: Mapping[str, Secret]) -> dict[str, pulumi.Input[str]]:
    """The names, not the values: Run would refuse the job while a secret has no version."""
    return {key: secret.secret.id for key, secret in secrets.items()}
