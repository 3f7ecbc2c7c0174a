"""The ephemeral machines that train: their identity, their templates, and a run by hand."""

import json
import shlex
from collections.abc import Mapping
from importlib import resources

import pulumi
import pulumi_gcp as gcp
import yaml

from pipeline import layout
from stacks import config, naming
from stacks.bucket import CREATE, READ, WRITE
from stacks.component import Component
from stacks.foundation import Foundation
from stacks.images import Images
from stacks.network import Network
from stacks.release import Release
from stacks.retrain import Retrain

# The machine ends by itself this long before it is stopped from outside: enough to start up before
# and, afterwards, for the trainer to end in order and for its last words to be sent.
MARGIN_SECONDS = 300
# Container-Optimized OS of one long-term milestone: it gets fixes, and changes nothing else.
# 129 is supported until 2028. Sources: https://cloud.google.com/container-optimized-os/docs/
# release-notes and …/docs/concepts/versioning, as third parties repeated them, read 2026-11-30;
# they name 133 as the next, since 2026-09.
_OS = "projects/cos-cloud/global/images/family/cos-129-lts"


class Training(Component):
    """Templates for training machines; a run on them where the stack file names one, or when."""

    def __init__(
        self, training: config.Training, foundation: Foundation, images: Images, release: Release
    ) -> None:
        super().__init__(foundation.named("training"), foundation)
        self._training = training
        self._foundation = foundation
        self._trainer = foundation.identity("trainer", "trains models")
        self._network = Network(foundation, public_address=training.public_address)
        self._needs = [*self._grants(), release]
        first, *fallbacks = training.hardware
        self._first = self._template("trainer", first, images)
        if training.schedule is not None:
            further = [self._template(f"trainer-{h.name}", h, images) for h in fallbacks]
            templates = [self._first, *further]
            Retrain(
                training,
                training.schedule,
                foundation,
                images,
                self._trainer,
                templates,
                self._needs,
            )

    def start(self, *needs: pulumi.Resource) -> None:
        """Declare the run by hand, after the grants to list: its machines list at once."""
        training = self._training
        if training.run is not None:
            # Of this component: a machine is known to the engine only when it is made.
            pulumi.log.info(self._if_there_is_none, self)
            names = naming.machines(self._foundation.stack.name, training.run, training.workers)
            machines = {
                name: self._machine(
                    f"train-{training.run}{share}", name, self._first, [*self._needs, *needs]
                )
                for share, name in zip(layout.shares(training.workers), names, strict=True)
            }
            self._note(training.run, machines)
        self.register_outputs({})

    @property
    def _if_there_is_none(self) -> str:
        """What to do about a stock-out, in one line; the provider's own says that it is one."""
        zone, *others = self._training.zones
        return (
            f"a run by hand tries {zone} alone; if that has no {self._training.machine_type} now"
            " (ZONE_RESOURCE_POOL_EXHAUSTED), put another zone first in training.zones"
            f"{f', such as {others[0]}' if others else ''}, and run `pulumi up` again"
        )

    def _note(self, run: str, machines: Mapping[str, gcp.compute.InstanceFromTemplate]) -> None:
        """Write the run down for the watcher, which tells when its machines are left over.

        It is written when they are there, and as little changed as they are.
        """
        gcp.storage.BucketObject(
            # As its machine, so that `--target '**train-RUN'` finds both.
            self.named(f"train-{run}"),
            gcp.storage.BucketObjectArgs(
                bucket=self._foundation.data.name,
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

    def _grants(self) -> list[pulumi.Resource]:
        foundation, member = self._foundation, self._trainer.member
        foundation.data.may_list(member)
        foundation.models.may_list(member)
        return [
            # The posts as well: a bot never learns from what it wrote itself.
            foundation.data.grant("trainer", member, READ, "tweets/", "posts/"),
            foundation.models.grant("trainer", member, READ, "base/"),
            # What OpenAI publishes, by the first run that needs it.
            foundation.models.grant("trainer", member, CREATE, "base/"),
            foundation.models.grant(
                "trainer", member, WRITE, "releases/", "rollout/live/", "runs/", "leases/"
            ),
            foundation.may_use_images("trainer-pull", self._trainer, "reader"),
            foundation.may_log("trainer", self._trainer),
        ]

    def _template(
        self, name: str, hardware: config.Hardware, images: Images
    ) -> gcp.compute.InstanceTemplate:
        training, spot = self._training, self._training.spot
        return gcp.compute.InstanceTemplate(
            self.named(name),
            gcp.compute.InstanceTemplateArgs(
                name_prefix=f"{self._foundation.stack.name}-trainer-",
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
                        image=images.trainer,
                        data=self._foundation.data.name,
                        models=self._foundation.models.name,
                    ).apply(
                        lambda o: self._user_data(
                            o["image"], o["data"], o["models"], gpu=hardware.has_gpu
                        )
                    ),
                    # The container's structured lines by the system's agent; the console, which
                    # has also what was said last, by Compute Engine itself.
                    "google-logging-enabled": "true",
                    "serial-port-logging-enable": "true",
                    # Only who may log in by IAM does, and no key that the project has for others.
                    "enable-oslogin": "TRUE",
                    "block-project-ssh-keys": "true",
                },
            ),
            # No explicit name: the new template stands before the old one goes.
            pulumi.ResourceOptions(parent=self, depends_on=[self._network.ready]),
        )

    def _user_data(self, image: str, data: str, models: str, *, gpu: bool) -> str:
        return user_data(
            image=image,
            registry_host=self._foundation.registry.host,
            models=models,
            base_model=self._training.settings.base_model,
            container={
                "DATA_BUCKET": data,
                "MODELS_BUCKET": models,
                "MODELS_MOUNT": "/mnt/models",
                "SETTINGS": json.dumps(self._training.settings.model_dump()),
                "REQUIRE_GPU": "1" if gpu else "",
                "KEEP_RELEASES": str(self._foundation.stack.keep.releases),
            },
            gpu=gpu,
            seconds=self._training.hours * 3600,
        )

    def _machine(
        self,
        resource: str,
        name: str,
        template: gcp.compute.InstanceTemplate,
        needs: list[pulumi.Resource],
    ) -> gcp.compute.InstanceFromTemplate:
        """One machine, named after the run, which trains once and then stands powered off.

        Pulumi owns its deletion, so its hard limit stops it in place of deleting it: a machine
        that is gone makes `destroy` fail. Once made it is never changed, whatever becomes of the
        stack file: another zone would make it anew in mid-run, another limit stop it.
        """
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


def user_data(
    *,
    image: str,
    registry_host: str,
    models: str,
    base_model: str,
    container: dict[str, str],
    gpu: bool,
    seconds: int,
) -> str:
    """The cloud-config of a training machine.

    Args:
        image: The trainer.
        registry_host: Where that is pulled from.
        models: The bucket with the run's result and the base model.
        base_model: The name of the model that an account's first training starts from.
        container: The trainer's environment.
        gpu: Whether the machine has one, and needs its driver.
        seconds: After which Compute Engine stops or deletes the machine.
    """
    machine = {
        "IMAGE": image,
        "REGISTRY_HOST": registry_host,
        "GPU": "1" if gpu else "",
        "MODELS_BUCKET": models,
        "RESULT": layout.run_result("MACHINE"),
        "BASE": layout.base_model(base_model),
        "BASE_FILES": " ".join(layout.BASE_MODEL_FILES),
    }
    files = {
        "/etc/systemd/system/trainer.service": _script("trainer.service"),
        "/etc/systemd/system/trainer.service.d/limit.conf": (
            f"[Service]\nTimeoutStartSec={seconds - MARGIN_SECONDS}\n"
        ),
        "/etc/trainer/train.sh": _script("train.sh"),
        "/etc/trainer/machine.env": _lines(machine, quote=True),
        "/etc/trainer/container.env": _lines(
            container | {"MAX_RUN_SECONDS": str(seconds)}, quote=False
        ),
    }
    config = {
        "write_files": [
            {"path": path, "permissions": "0644", "owner": "root", "content": content}
            for path, content in files.items()
        ],
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "start", "--no-block", "trainer.service"],
        ],
    }
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)


def _script(name: str) -> str:
    return resources.files("stacks.scripts").joinpath(name).read_text()


def _lines(values: dict[str, str], *, quote: bool) -> str:
    """Lines of an environment file: a shell reads quotes, Docker's --env-file takes them whole."""
    return "".join(f"{k}={shlex.quote(v) if quote else v}\n" for k, v in values.items())
