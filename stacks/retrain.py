"""Training on a schedule: a job creates the machines, waits for them, and deletes them."""

import json
from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from pipeline import layout
from stacks import config
from stacks.bucket import READ, WRITE
from stacks.component import Component
from stacks.job import Schedule
from stacks.shared import Shared

# The time for finding a zone that has a machine, in addition to the hours of a machine.
_SEARCH_SECONDS = 1800
# The time for looking for news before the run, and for deleting machines after it. Cloud Run lets a
# job take 168 hours, and a machine runs for at most 72.
# Source: https://docs.cloud.google.com/run/docs/configuring/task-timeout
_AROUND_SECONDS = 3600


class Retrain(Component):
    """Starts a run at each tick, on machines of the first template for which a zone has capacity.

    Args:
        training: The stack file's settings of training.
        schedule: When a run starts, as a cron expression.
        shared: The parts of the project that every stack has.
        trainer: The identity of the machines.
        templates: The templates of machines to try, in this order.
        needs: Resources that must exist before the first machine starts.
    """

    def __init__(
        self,
        training: config.Training,
        schedule: str,
        shared: Shared,
        *,
        trainer: gcp.serviceaccount.Account,
        templates: Sequence[gcp.compute.InstanceTemplate],
        needs: Sequence[pulumi.Resource],
    ) -> None:
        project, storage = shared.project, shared.storage
        super().__init__(project.named("retrain"), project)
        self._training = training
        self._shared = shared
        identity = project.identity("retrain", "creates and deletes the machines that train")
        seconds = training.hours * 3600 + _SEARCH_SECONDS
        shared.scheduler.job(
            self.named("retrain"),
            self,
            physical_name=layout.retrain_job(project.stack.name),
            image=shared.images.control,
            args=["retrain"],
            runs_as=identity,
            env={
                "DATA_BUCKET": storage.data.name,
                "MODELS_BUCKET": storage.models.name,
                "SETTINGS": json.dumps(training.settings.model_dump()),
                "PROJECT": project.stack.project,
                "RUNS": layout.run_names(project.stack.name),
                "ZONES": json.dumps(training.zones),
                "TEMPLATES": pulumi.Output.json_dumps([template.id for template in templates]),
                "WORKERS": str(training.workers),
                "SECONDS": str(seconds),
            },
            schedule=Schedule(schedule, training.time_zone),
            timeout=seconds + _AROUND_SECONDS,
            memory="512Mi",
            needs=[*self._grants(identity, trainer), *needs],
        )
        self.register_outputs({})

    def _grants(
        self, identity: gcp.serviceaccount.Account, trainer: gcp.serviceaccount.Account
    ) -> list[pulumi.Resource]:
        project, storage, member = self._shared.project, self._shared.storage, identity.member
        storage.may_list(member)
        start = project.custom_role(
            "machine-starter",
            identity,
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
        delete = project.custom_role(
            "machine-deleter", identity, "deletes training machines", "compute.instances.delete"
        )
        stack = project.stack
        machines = [
            f"projects/{stack.project}/zones/{zone}/instances/{layout.run_names(stack.name)}"
            for zone in self._training.zones
        ]
        return [
            project.grant("retrain-start", start.name, member),
            project.grant("retrain-delete", delete.name, member, *machines),
            # An identity that creates a machine must be allowed to act as the machine's identity.
            gcp.serviceaccount.IAMMember(
                self.named("retrain-trainer"),
                gcp.serviceaccount.IAMMemberArgs(
                    service_account_id=trainer.name,
                    role="roles/iam.serviceAccountUser",
                    member=member,
                ),
                self.child(),
            ),
            # Tweets, posts and releases show whether an account has enough news.
            storage.data.grant(
                "retrain",
                member,
                READ,
                layout.all_tweets(),
                layout.all_posts(),
                layout.all_declared(),
            ),
            storage.models.grant(
                "retrain", member, READ, layout.all_pointers(), layout.all_releases()
            ),
            storage.models.grant("retrain", member, WRITE, layout.all_runs(), layout.run_lease()),
        ]
