"""Training on a schedule: a job makes the machines, waits for them, and deletes them."""

import json
from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from pipeline import layout
from stacks import config, naming
from stacks.bucket import READ, WRITE
from stacks.component import Component
from stacks.foundation import Foundation
from stacks.images import Images
from stacks.job import Schedule, ScheduledJob

# For finding a zone that has a machine, beyond the hours that a machine may run.
_SEARCH_SECONDS = 1800
# For what comes before and after: looking for news, and deleting machines. The job may take 168
# hours, and a machine at most 72.
# Source: https://docs.cloud.google.com/run/docs/configuring/task-timeout
_AROUND_SECONDS = 3600


class Retrain(Component):
    """Starts one run at each tick, on the first of `templates` that a zone has a machine for.

    `trainer` is whom the machines run as; `needs` is what stands before the first of them.
    """

    def __init__(
        self,
        training: config.Training,
        schedule: str,
        foundation: Foundation,
        images: Images,
        trainer: gcp.serviceaccount.Account,
        templates: Sequence[gcp.compute.InstanceTemplate],
        needs: Sequence[pulumi.Resource],
    ) -> None:
        super().__init__(foundation.named("retrain"), foundation)
        self._training = training
        self._foundation = foundation
        identity = foundation.identity("retrain", "creates and deletes the machines that train")
        seconds = training.hours * 3600 + _SEARCH_SECONDS
        ScheduledJob(
            self.named("retrain"),
            self,
            foundation,
            physical_name=naming.retrain(foundation.stack.name),
            image=images.control,
            args=["retrain"],
            runs_as=identity,
            env={
                "DATA_BUCKET": foundation.data.name,
                "MODELS_BUCKET": foundation.models.name,
                "SETTINGS": json.dumps(training.settings.model_dump()),
                "PROJECT": foundation.stack.project,
                "RUNS": naming.runs(foundation.stack.name),
                "ZONES": json.dumps(training.zones),
                "TEMPLATES": pulumi.Output.json_dumps([template.id for template in templates]),
                "WORKERS": str(training.workers),
                "SECONDS": str(seconds),
            },
            secrets={},
            schedule=Schedule(schedule, training.time_zone),
            timeout=seconds + _AROUND_SECONDS,
            memory="512Mi",
            needs=[*self._grants(identity, trainer), *needs],
        )
        self.register_outputs({})

    def _grants(
        self, identity: gcp.serviceaccount.Account, trainer: gcp.serviceaccount.Account
    ) -> list[pulumi.Resource]:
        foundation, stack, member = self._foundation, self._foundation.stack, identity.member
        foundation.data.may_list(member)
        foundation.models.may_list(member)
        start = self._role(
            identity,
            "machine-starter",
            "starts training machines and watches them",
            "compute.disks.create",
            "compute.instanceTemplates.useReadOnly",
            "compute.instances.create",
            "compute.instances.get",
            "compute.instances.list",
            "compute.instances.setLabels",
            "compute.instances.setMetadata",
            "compute.instances.setServiceAccount",
            "compute.subnetworks.use",
            "compute.subnetworks.useExternalIp",
            "compute.zoneOperations.get",
        )
        delete = self._role(
            identity, "machine-deleter", "deletes training machines", "compute.instances.delete"
        )
        machines = [
            f"projects/{stack.project}/zones/{zone}/instances/{naming.runs(stack.name)}"
            for zone in self._training.zones
        ]
        return [
            self._project_grant("retrain-start", start.name, member),
            self._project_grant("retrain-delete", delete.name, member, *machines),
            # Whoever makes a machine acts as the account that it runs as.
            gcp.serviceaccount.IAMMember(
                self.named("retrain-trainer"),
                gcp.serviceaccount.IAMMemberArgs(
                    service_account_id=trainer.name,
                    role="roles/iam.serviceAccountUser",
                    member=member,
                ),
                self.child(),
            ),
            # Whether there is enough news is known from what was collected, posted and released.
            foundation.data.grant("retrain", member, READ, "tweets/", "posts/"),
            foundation.models.grant("retrain", member, READ, "rollout/", "releases/"),
            foundation.models.grant("retrain", member, WRITE, layout.runs(), layout.run_lease()),
        ]

    def _role(
        self, holder: gcp.serviceaccount.Account, role: str, what_for: str, *permissions: str
    ) -> gcp.projects.IAMCustomRole:
        """A role for one identity, which gives its id a part that no earlier role had.

        Google blocks the id of a deleted role for up to 37 days.
        Source: https://docs.cloud.google.com/iam/docs/creating-custom-roles#deleting-custom-role
        """
        stack = self._foundation.stack.name
        return gcp.projects.IAMCustomRole(
            self.named(role),
            gcp.projects.IAMCustomRoleArgs(
                role_id=holder.unique_id.apply(lambda id_: naming.custom_role(stack, role, id_)),
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
