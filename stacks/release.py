"""The release build: a changed pointer sends a notification to a topic, which starts the build."""

from importlib import resources

import pulumi
import pulumi_gcp as gcp

from pipeline import layout
from stacks import naming
from stacks.bucket import READ, Bucket
from stacks.component import Component
from stacks.images import Images
from stacks.project import Project
from stacks.registry import Registry

# A tag without a version moves between versions of Docker, and back
# (https://github.com/GoogleCloudPlatform/cloud-builders/issues/828, and 980 for this one).
_DOCKER = "gcr.io/cloud-builders/docker:24.0.9"
_WORKSPACE = "/workspace"

POST_MEMORY = "1Gi"
"""Memory of the posting job. A release must pass its self-test with the same limit."""


class Release(Component):
    """Builds the image of each release that a pointer names, and moves `:live` to it."""

    def __init__(
        self, project: Project, models: Bucket, registry: Registry, images: Images
    ) -> None:
        super().__init__(project.named("release"), project)
        self._project = project
        self._models = models
        self._registry = registry
        self._images = images
        self.topic = gcp.pubsub.Topic(
            self.named("rollout"),
            gcp.pubsub.TopicArgs(name=naming.rollout(project.stack.name)),
            self.child(project.service("pubsub")),
        )
        self.trigger = self._trigger(self._builder())
        self._notify()
        self.register_outputs({})

    def _builder(self) -> gcp.serviceaccount.Account:
        """Declare the identity of builds. It reads pointers and releases, and writes images."""
        builder = self._project.identity("build", "builds the images of releases")
        self._models.grant(
            "build", builder.member, READ, layout.all_releases(), layout.all_pointers()
        )
        self._models.may_list(builder.member)
        self._registry.grant("build-push", builder, "writer")
        self._project.grant_logging("build", builder)
        return builder

    def _notify(self) -> None:
        """Let Cloud Storage publish a message to the topic for every pointer that is written."""
        agent = gcp.storage.get_project_service_account_output(
            project=self._project.stack.project,
            opts=pulumi.InvokeOutputOptions(
                parent=self, depends_on=[self._project.service("storage")]
            ),
        )
        grant = gcp.pubsub.TopicIAMMember(
            self.named("storage-agent"),
            gcp.pubsub.TopicIAMMemberArgs(
                topic=self.topic.name,
                role="roles/pubsub.publisher",
                member=pulumi.Output.concat("serviceAccount:", agent.email_address),
            ),
            self.child(),
        )
        gcp.storage.Notification(
            self.named("pointers"),
            gcp.storage.NotificationArgs(
                bucket=self._models.name,
                topic=self.topic.id,
                payload_format="JSON_API_V1",
                event_types=["OBJECT_FINALIZE"],
                object_name_prefix=layout.all_pointers(),
            ),
            self.child(grant, self.trigger),
        )

    def _trigger(self, builder: gcp.serviceaccount.Account) -> gcp.cloudbuild.Trigger:
        bundle = resources.files("stacks.scripts").joinpath("bundle.sh").read_text()
        return gcp.cloudbuild.Trigger(
            self.named("rollout"),
            gcp.cloudbuild.TriggerArgs(
                name=naming.rollout(self._project.stack.name),
                location=self._project.stack.build_region,
                service_account=builder.id,
                pubsub_config=gcp.cloudbuild.TriggerPubsubConfigArgs(topic=self.topic.id),
                substitutions={
                    "_EVENT_TYPE": "$(body.message.attributes.eventType)",
                    "_OBJECT": "$(body.message.attributes.objectId)",
                },
                filter=(
                    '_EVENT_TYPE == "OBJECT_FINALIZE" && '
                    f'_OBJECT.matches("^{layout.all_pointers()}(live|base)/[a-z0-9-]+[.]json$")'
                ),
                build=gcp.cloudbuild.TriggerBuildArgs(
                    steps=[
                        # The workspace belongs to root, and the control image's user is not root.
                        self._docker("open", script=f"chmod 0777 {_WORKSPACE}"),
                        self._control("fetch"),
                        self._docker("bundle", script=bundle, envs=[f"MEMORY={POST_MEMORY}"]),
                        self._control("live"),
                    ],
                    timeout="1200s",
                    # A service account of one's own may not write to Cloud Build's log bucket.
                    options=gcp.cloudbuild.TriggerBuildOptionsArgs(logging="CLOUD_LOGGING_ONLY"),
                ),
            ),
            self.child(self._project.service("cloudbuild")),
        )

    def _docker(
        self, step: str, *, script: str, envs: list[str] | None = None
    ) -> gcp.cloudbuild.TriggerBuildStepArgs:
        return gcp.cloudbuild.TriggerBuildStepArgs(id=step, name=_DOCKER, script=script, envs=envs)

    def _control(self, command: str) -> gcp.cloudbuild.TriggerBuildStepArgs:
        return gcp.cloudbuild.TriggerBuildStepArgs(
            id=command,
            name=self._images.control,
            args=[command],
            # By default Cloud Build starts it in the workspace, which does not have the program.
            dir="/srv",
            envs=[
                # Untrusted text is passed as a value. It never becomes a part of a command.
                "OBJECT=$_OBJECT",
                pulumi.Output.concat("MODELS_BUCKET=", self._models.name),
                f"REPOSITORY={self._registry.url}",
                f"WORKSPACE={_WORKSPACE}",
            ],
        )
