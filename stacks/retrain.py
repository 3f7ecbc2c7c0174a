"""Training on a schedule: a workflow makes the machines, waits for them, and deletes them."""

import base64
from collections.abc import Sequence
from importlib import resources

import pulumi
import pulumi_gcp as gcp

from pipeline import layout
from stacks import config, naming
from stacks.bucket import READ, WRITE
from stacks.component import Component
from stacks.foundation import Foundation

# For finding a zone that has a machine, beyond the hours that a machine may run.
_SEARCH_SECONDS = 1800


class Retrain(Component):
    """Starts one run at each tick, on the first of `templates` that a zone has a machine for.

    `trainer` is whom the machines run as; `needs` is what stands before the first of them.
    """

    def __init__(
        self,
        training: config.Training,
        schedule: str,
        foundation: Foundation,
        trainer: gcp.serviceaccount.Account,
        templates: Sequence[gcp.compute.InstanceTemplate],
        needs: Sequence[pulumi.Resource],
    ) -> None:
        super().__init__(foundation.named("retrain"), foundation)
        self._training = training
        self._foundation = foundation
        runner = foundation.identity("workflow", "creates and deletes the machines that train")
        workflow = self._workflow(runner, [*self._grants(runner, trainer), *needs])
        self._run_on(schedule, workflow, templates)
        self.register_outputs({})

    def _grants(
        self, runner: gcp.serviceaccount.Account, trainer: gcp.serviceaccount.Account
    ) -> list[pulumi.Resource]:
        foundation, stack = self._foundation, self._foundation.stack
        foundation.models.may_list(runner.member)
        start = self._role(
            "machine-starter",
            "starts training machines and watches them",
            "compute.disks.create",
            "compute.instanceTemplates.useReadOnly",
            "compute.instances.create",
            "compute.instances.get",
            "compute.instances.setLabels",
            "compute.instances.setMetadata",
            "compute.instances.setServiceAccount",
            "compute.subnetworks.use",
            "compute.subnetworks.useExternalIp",
            "compute.zoneOperations.get",
        )
        delete = self._role(
            "machine-deleter", "deletes training machines", "compute.instances.delete"
        )
        machines = [
            f"projects/{stack.project}/zones/{zone}/instances/{naming.runs(stack.name)}"
            for zone in self._training.zones
        ]
        return [
            self._project_grant("workflow-start", start.name, runner.member),
            self._project_grant("workflow-delete", delete.name, runner.member, *machines),
            # Whoever makes a machine acts as the account that it runs as.
            gcp.serviceaccount.IAMMember(
                self.named("workflow-trainer"),
                gcp.serviceaccount.IAMMemberArgs(
                    service_account_id=trainer.name,
                    role="roles/iam.serviceAccountUser",
                    member=runner.member,
                ),
                self.child(),
            ),
            foundation.models.grant("workflow", runner.member, READ, "runs/"),
            foundation.models.grant("workflow", runner.member, WRITE, layout.run_lease()),
            foundation.may_log("workflow", runner),
        ]

    def _role(self, role: str, what_for: str, *permissions: str) -> gcp.projects.IAMCustomRole:
        stack = self._foundation.stack.name
        return gcp.projects.IAMCustomRole(
            self.named(role),
            gcp.projects.IAMCustomRoleArgs(
                role_id=naming.custom_role(stack, role),
                title=f"{stack}: {what_for}",
                permissions=list(permissions),
            ),
            self.child(self._foundation.service("iam")),
        )

    def _project_grant(
        self, name: str, role: pulumi.Input[str], member: pulumi.Input[str], *below: str
    ) -> gcp.projects.IAMMember:
        """`role` in the project, or for the resources whose names start as given alone."""
        return gcp.projects.IAMMember(
            self.named(name),
            gcp.projects.IAMMemberArgs(
                project=self._foundation.stack.project,
                role=role,
                member=member,
                condition=gcp.projects.IAMMemberConditionArgs(
                    title=name,
                    expression=" || ".join(f'resource.name.startsWith("{b}")' for b in below),
                )
                if below
                else None,
            ),
            self.child(self._foundation.service("cloudresourcemanager")),
        )

    def _workflow(
        self, runner: gcp.serviceaccount.Account, needs: list[pulumi.Resource]
    ) -> gcp.workflows.Workflow:
        foundation = self._foundation
        return gcp.workflows.Workflow(
            self.named("retrain"),
            gcp.workflows.WorkflowArgs(
                name=naming.workflow(foundation.stack.name, "retrain"),
                region=foundation.stack.region,
                description="Trains all accounts on machines that exist only meanwhile",
                service_account=runner.id,
                source_contents=resources.files("stacks.scripts")
                .joinpath("retrain.yaml")
                .read_text(),
                deletion_protection=False,
                call_log_level="LOG_ERRORS_ONLY",
            ),
            self.child(foundation.service("workflows"), *needs),
        )

    def _run_on(
        self,
        schedule: str,
        workflow: gcp.workflows.Workflow,
        templates: Sequence[gcp.compute.InstanceTemplate],
    ) -> None:
        foundation = self._foundation
        grant = self._project_grant(
            "scheduler-retrain", "roles/workflows.invoker", foundation.scheduler.member
        )
        request = pulumi.Output.json_dumps(
            {"argument": pulumi.Output.json_dumps(self._argument(templates))}
        )
        gcp.cloudscheduler.Job(
            self.named("retrain"),
            gcp.cloudscheduler.JobArgs(
                name=workflow.name,
                region=foundation.stack.region,
                schedule=schedule,
                time_zone=self._training.time_zone,
                attempt_deadline="60s",
                retry_config=gcp.cloudscheduler.JobRetryConfigArgs(retry_count=3),
                http_target=gcp.cloudscheduler.JobHttpTargetArgs(
                    http_method="POST",
                    uri=pulumi.Output.concat(
                        "https://workflowexecutions.googleapis.com/v1/", workflow.id, "/executions"
                    ),
                    headers={"Content-Type": "application/json"},
                    body=request.apply(lambda text: base64.b64encode(text.encode()).decode()),
                    oauth_token=gcp.cloudscheduler.JobHttpTargetOauthTokenArgs(
                        service_account_email=foundation.scheduler.email
                    ),
                ),
            ),
            self.child(
                foundation.service("cloudscheduler"),
                foundation.service("workflowexecutions"),
                grant,
            ),
        )

    def _argument(self, templates: Sequence[gcp.compute.InstanceTemplate]) -> dict[str, object]:
        """What stacks/scripts/retrain.yaml takes."""
        stack, training = self._foundation.stack, self._training
        return {
            "compute": f"https://compute.googleapis.com/compute/v1/projects/{stack.project}",
            "storage": "https://storage.googleapis.com",
            "bucket": self._foundation.models.name,
            "name": naming.runs(stack.name),
            "workers": naming.shares(training.workers),
            "zones": list(training.zones),
            "templates": [template.id for template in templates],
            "seconds": training.hours * 3600 + _SEARCH_SECONDS,
        }
