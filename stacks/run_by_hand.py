"""A training run that the stack file names: its machines, and a record for the watcher."""

import json
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_gcp as gcp

from pipeline import layout
from stacks import config
from stacks.component import Component
from stacks.shared import Shared


class RunByHand(Component):
    """Starts one machine per worker, which train once and then stay powered off.

    Only Pulumi deletes the machines. Their hard limit stops them and does not delete them, because
    `pulumi destroy` would fail on a machine that is gone. A machine is never changed: a change of
    the stack file would replace or stop it in the middle of the run.
    """

    def __init__(
        self,
        training: config.Training,
        run: str,
        shared: Shared,
        template: gcp.compute.InstanceTemplate,
        needs: Sequence[pulumi.Resource],
    ) -> None:
        # Named like its machine and its note, so that `--target '**train-RUN'` finds all three.
        super().__init__(shared.project.named(f"train-{run}"), shared.project)
        self._training = training
        # Logged for this component, because the engine does not know the machines yet.
        pulumi.log.info(self._advice, self)
        names = layout.machines(shared.project.stack.name, run, training.workers)
        machines = {
            name: self._machine(f"train-{run}{share}", name, template, needs)
            for share, name in zip(layout.shares(training.workers), names, strict=True)
        }
        self._record(run, machines, shared.storage.data.name)
        self.register_outputs({})

    @property
    def _advice(self) -> str:
        """What to do in a stock-out, in one line. The provider's error does not say it."""
        zone, *others = self._training.zones
        return (
            f"a run by hand tries only {zone}; if {zone} has no {self._training.machine_type} now"
            " (ZONE_RESOURCE_POOL_EXHAUSTED), put another zone first in training.zones"
            f"{f', such as {others[0]}' if others else ''}, and run `pulumi up` again"
        )

    def _machine(
        self,
        resource: str,
        name: str,
        template: gcp.compute.InstanceTemplate,
        needs: Sequence[pulumi.Resource],
    ) -> gcp.compute.InstanceFromTemplate:
        return gcp.compute.InstanceFromTemplate(
            self.named(resource),
            gcp.compute.InstanceFromTemplateArgs(
                name=name,
                zone=self._training.zones[0],
                source_instance_template=template.self_link_unique,
                scheduling=gcp.compute.InstanceFromTemplateSchedulingArgs(
                    provisioning_model="SPOT" if self._training.spot else "STANDARD",
                    preemptible=self._training.spot,
                    automatic_restart=False,
                    on_host_maintenance="TERMINATE",
                    instance_termination_action="STOP",
                    max_run_duration=gcp.compute.InstanceFromTemplateSchedulingMaxRunDurationArgs(
                        seconds=self._training.hours * 3600
                    ),
                ),
            ),
            self.child(*needs, ignore_changes=["*"]),
        )

    def _record(
        self,
        run: str,
        machines: Mapping[str, gcp.compute.InstanceFromTemplate],
        data: pulumi.Output[str],
    ) -> None:
        """Record the run for the watcher, which reports machines that are left over.

        The record is written after the machines are created and, like them, never changed.
        """
        gcp.storage.BucketObject(
            self.named(f"train-{run}"),
            gcp.storage.BucketObjectArgs(
                bucket=data,
                name=layout.run_by_hand(run),
                content_type="application/json",
                content=json.dumps(
                    {
                        "run": run,
                        "machines": [*machines],
                        "zone": self._training.zones[0],
                        "hours": self._training.hours,
                    }
                ),
            ),
            self.child(*machines.values(), ignore_changes=["*"]),
        )
