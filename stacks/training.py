"""Training: the identity that trains, its machines, and the job of scheduled training."""

import json

import pulumi
import pulumi_gcp as gcp

from pipeline import layout
from stacks import config
from stacks.bucket import CREATE, READ, WRITE
from stacks.cloud_config import user_data
from stacks.component import Component
from stacks.network import Network
from stacks.retrain import Retrain
from stacks.run_by_hand import RunByHand
from stacks.shared import Shared

# Container-Optimized OS of one long-term milestone, which gets fixes and no other changes.
# 129 is supported until 2028. The next one is 133, since 2026-09. Sources:
# https://cloud.google.com/container-optimized-os/docs/release-notes and …/docs/concepts/versioning,
# as third parties repeat them, read 2026-11-30.
_OS = "projects/cos-cloud/global/images/family/cos-129-lts"


class Training(Component):
    """The trainer's identity, the templates of its machines, and a job if there is a schedule."""

    def __init__(self, training: config.Training, shared: Shared) -> None:
        super().__init__(shared.project.named("training"), shared.project)
        self._training = training
        self._shared = shared
        self._trainer = shared.project.identity("trainer", "trains models")
        self._network = Network(shared.project, public_address=training.public_address)
        self._needs = [*self._grants(), shared.release]
        first, *fallbacks = training.hardware
        self._template = self._declare_template("trainer", first)
        if training.schedule is not None:
            further = [self._declare_template(f"trainer-{h.name}", h) for h in fallbacks]
            Retrain(
                training,
                training.schedule,
                shared,
                trainer=self._trainer,
                templates=[self._template, *further],
                needs=self._needs,
            )
        self.register_outputs({})

    def start(self, *listing: pulumi.Resource) -> None:
        """Declare the run by hand. Its machines list objects at once, so the grants come first."""
        if self._training.run is not None:
            needs = [*self._needs, *listing]
            RunByHand(self._training, self._training.run, self._shared, self._template, needs)

    def _grants(self) -> list[pulumi.Resource]:
        storage, member = self._shared.storage, self._trainer.member
        storage.may_list(member)
        return [
            # Posts as well, because a bot does not learn from its own posts.
            storage.data.grant(
                "trainer",
                member,
                READ,
                layout.all_tweets(),
                layout.all_posts(),
                layout.all_declared(),
            ),
            storage.models.grant("trainer", member, READ, layout.all_base_models()),
            # The first run that needs a base model stores it here.
            storage.models.grant("trainer", member, CREATE, layout.all_base_models()),
            storage.models.grant(
                "trainer",
                member,
                WRITE,
                layout.all_releases(),
                layout.all_live_pointers(),
                layout.all_runs(),
                layout.all_leases(),
            ),
            self._shared.registry.grant("trainer-pull", self._trainer, "reader"),
            self._shared.project.grant_logging("trainer", self._trainer),
        ]

    def _declare_template(
        self, name: str, hardware: config.Hardware
    ) -> gcp.compute.InstanceTemplate:
        training, spot = self._training, self._training.spot
        return gcp.compute.InstanceTemplate(
            self.named(name),
            gcp.compute.InstanceTemplateArgs(
                name_prefix=f"{self._shared.project.stack.name}-trainer-",
                machine_type=hardware.machine_type,
                disks=[
                    gcp.compute.InstanceTemplateDiskArgs(
                        boot=True,
                        auto_delete=True,
                        source_image=_OS,
                        disk_size_gb=training.disk_gb,
                        disk_type="pd-balanced",
                    )
                ],
                guest_accelerators=[
                    gcp.compute.InstanceTemplateGuestAcceleratorArgs(
                        type=hardware.gpu.type, count=hardware.gpu.count
                    )
                ]
                if hardware.gpu
                else None,
                network_interfaces=[self._network.interface()],
                service_account=gcp.compute.InstanceTemplateServiceAccountArgs(
                    email=self._trainer.email, scopes=["cloud-platform"]
                ),
                scheduling=gcp.compute.InstanceTemplateSchedulingArgs(
                    provisioning_model="SPOT" if spot else "STANDARD",
                    preemptible=spot,
                    automatic_restart=False,
                    on_host_maintenance="TERMINATE",
                    instance_termination_action="DELETE",
                    max_run_duration=gcp.compute.InstanceTemplateSchedulingMaxRunDurationArgs(
                        seconds=training.hours * 3600
                    ),
                ),
                shielded_instance_config=gcp.compute.InstanceTemplateShieldedInstanceConfigArgs(
                    enable_secure_boot=True
                ),
                metadata={
                    "user-data": pulumi.Output.all(
                        image=self._shared.images.trainer,
                        data=self._shared.storage.data.name,
                        models=self._shared.storage.models.name,
                    ).apply(
                        lambda o: self._user_data(
                            o["image"], o["data"], o["models"], gpu=hardware.has_gpu
                        )
                    ),
                    # The system's agent sends the container's structured log lines. Compute Engine
                    # sends the console, which also has the very last lines.
                    "google-logging-enabled": "true",
                    "serial-port-logging-enable": "true",
                    # Only people with an IAM role may log in, not those with keys in the metadata.
                    "enable-oslogin": "TRUE",
                    "block-project-ssh-keys": "true",
                },
            ),
            # No delete_before_replace: a template has no explicit name, and the new one must exist
            # before the old one is deleted.
            pulumi.ResourceOptions(parent=self, depends_on=[self._network.ready]),
        )

    def _user_data(self, image: str, data: str, models: str, *, gpu: bool) -> str:
        return user_data(
            image=image,
            registry_host=self._shared.registry.host,
            models=models,
            base_model=self._training.settings.base_model,
            container={
                "DATA_BUCKET": data,
                "MODELS_BUCKET": models,
                "MODELS_MOUNT": "/mnt/models",
                "SETTINGS": json.dumps(self._training.settings.model_dump()),
                "REQUIRE_GPU": "1" if gpu else "",
                "KEEP_RELEASES": str(self._shared.project.stack.keep.releases),
            },
            gpu=gpu,
            seconds=self._training.hours * 3600,
        )
