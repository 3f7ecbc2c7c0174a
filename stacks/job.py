"""Cloud Run jobs, and the schedules that start them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from stacks.component import Component
from stacks.project import Project
from stacks.secret import ReadableSecret


@dataclass(frozen=True)
class Schedule:
    """A cron expression in a time zone."""

    cron: str
    time_zone: str


class Scheduler:
    """Declares the jobs of a project. One identity starts all of them."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._identity = project.identity("scheduler", "starts the jobs on their schedules")

    def job(
        self,
        name: str,
        part_of: Component,
        *,
        physical_name: str,
        image: pulumi.Input[str],
        args: list[str],
        runs_as: gcp.serviceaccount.Account,
        env: Mapping[str, pulumi.Input[str]],
        schedule: Schedule,
        timeout: int,
        memory: str,
        secrets: Mapping[str, ReadableSecret] | None = None,
        needs: Sequence[pulumi.Resource] = (),
    ) -> None:
        """Declare a job, which runs a container to its end, and its schedule.

        They are not a component. An account has two jobs, and each component would be one more
        resource to register.

        Args:
            name: The name of the job, its grant and its schedule in Pulumi.
            part_of: The component that they are children of.
            physical_name: The name of the job and of its schedule at Google.
            image: The image of the container.
            args: The arguments of the image's entry point.
            runs_as: The identity of the container.
            env: The container's environment.
            schedule: When the job starts.
            timeout: The most seconds that one execution may take.
            memory: Such as "512Mi".
            secrets: The secrets that the container reads, by the variable with the secret's name.
            needs: Resources that must exist before the job starts for the first time.
        """
        secrets = secrets or {}
        # The names, not the values: Cloud Run would refuse the job while a secret has no version.
        env = {**env, **{variable: secret.id for variable, secret in secrets.items()}}
        job = gcp.cloudrunv2.Job(
            name,
            gcp.cloudrunv2.JobArgs(
                name=physical_name,
                location=self._project.stack.region,
                deletion_protection=False,
                template=gcp.cloudrunv2.JobTemplateArgs(
                    task_count=1,
                    template=gcp.cloudrunv2.JobTemplateTemplateArgs(
                        service_account=runs_as.email,
                        timeout=f"{timeout}s",
                        # One retry, for a container that was killed. After an outage the next tick
                        # of the schedule tries again.
                        max_retries=1,
                        containers=[
                            gcp.cloudrunv2.JobTemplateTemplateContainerArgs(
                                image=image,
                                args=args,
                                envs=[
                                    gcp.cloudrunv2.JobTemplateTemplateContainerEnvArgs(
                                        name=variable, value=value
                                    )
                                    for variable, value in env.items()
                                ],
                                resources=gcp.cloudrunv2.JobTemplateTemplateContainerResourcesArgs(
                                    limits={"cpu": "1", "memory": memory}
                                ),
                            )
                        ],
                    ),
                ),
            ),
            part_of.child(
                self._project.service("run"),
                *needs,
                *(secret.grant for secret in secrets.values()),
            ),
        )
        self._start(name, part_of, job, schedule)

    def _start(
        self, name: str, part_of: Component, job: gcp.cloudrunv2.Job, schedule: Schedule
    ) -> None:
        """Declare the schedule, after the grant that it needs to start the job."""
        grant = gcp.cloudrunv2.JobIamMember(
            name,
            gcp.cloudrunv2.JobIamMemberArgs(
                name=job.name,
                location=job.location,
                role="roles/run.jobsExecutor",
                member=self._identity.member,
            ),
            part_of.child(),
        )
        gcp.cloudscheduler.Job(
            name,
            gcp.cloudscheduler.JobArgs(
                name=job.name,
                region=self._project.stack.region,
                schedule=schedule.cron,
                time_zone=schedule.time_zone,
                attempt_deadline="60s",
                retry_config=gcp.cloudscheduler.JobRetryConfigArgs(retry_count=3),
                http_target=gcp.cloudscheduler.JobHttpTargetArgs(
                    http_method="POST",
                    uri=pulumi.Output.concat("https://run.googleapis.com/v2/", job.id, ":run"),
                    # Google's own APIs take OAuth tokens. OIDC tokens are for one's own services.
                    oauth_token=gcp.cloudscheduler.JobHttpTargetOauthTokenArgs(
                        service_account_email=self._identity.email
                    ),
                ),
            ),
            part_of.child(self._project.service("cloudscheduler"), grant),
        )
