"""From a pointer that changed to an image: notification, topic, and the build that it starts."""

from importlib import resources

import pulumi
import pulumi_gcp as gcp

from stacks.bucket import READ
from stacks.component import Component
from stacks.foundation import Foundation
from stacks.images import Images

# Without a version the tag moves, between versions of Docker and back
# (https://github.com/GoogleCloudPlatform/cloud-builders/issues/828, and 980 for this one).
_DOCKER = "gcr.io/cloud-builders/docker:24.0.9"
_WORKSPACE = "/workspace"

POST_MEMORY = "1Gi"
"""Memory of the job that posts, in which a release has to pass its self-test."""


class Release(Component):
    """Makes the image of every release that a pointer asks for, and moves `:live` to it."""

    def __init__(self, foundation: Foundation, images: Images) -> None:
        super().__init__(foundation.named("release"), foundation)
        self._foundation = foundation
        self._images = images
        builder = self._builder()
        self.topic = gcp.pubsub.Topic(
            self.named("rollout"),
            gcp.pubsub.TopicArgs(name=f"{foundation.stack.name}-rollout"),
            self.child(foundation.service("pubsub")),
        )
        self.trigger = self._trigger(self.topic, builder)
        self._notify(self.topic, self.trigger)
        self.register_outputs({})

    def _builder(self) -> gcp.serviceaccount.Account:
        """Reads pointers and releases, writes images."""
        foundation = self._foundation
        builder = foundation.identity("build", "builds the images of releases")
        foundation.models.grant("build", builder.member, READ, "releases/", "rollout/")
        foundation.models.may_list(builder.member)
        foundation.may_use_images("build-push", builder, "writer")
        foundation.may_log("build", builder)
        return builder

    def _notify(self, topic: gcp.pubsub.Topic, trigger: gcp.cloudbuild.Trigger) -> None:
        """Tell the topic of every pointer written, once Cloud Storage may."""
        agent = gcp.storage.get_project_service_account_output(
            project=self._foundation.stack.project,
            opts=pulumi.InvokeOutputOptions(
                parent=self, depends_on=[self._foundation.service("storage")]
            ),
        )
        grant = gcp.pubsub.TopicIAMMember(
            self.named("storage-agent"),
            gcp.pubsub.TopicIAMMemberArgs(
                topic=topic.name,
                role="roles/pubsub.publisher",
                member=pulumi.Output.concat("serviceAccount:", agent.email_address),
            ),
            self.child(),
        )
        gcp.storage.Notification(
            self.named("pointers"),
            gcp.storage.NotificationArgs(
                bucket=self._foundation.models.name,
                topic=topic.id,
                payload_format="JSON_API_V1",
                event_types=["OBJECT_FINALIZE"],
                object_name_prefix="rollout/",
            ),
            self.child(grant, trigger),
        )

    def _trigger(
        self, topic: gcp.pubsub.Topic, builder: gcp.serviceaccount.Account
    ) -> gcp.cloudbuild.Trigger:
        foundation = self._foundation
        return gcp.cloudbuild.Trigger(
            self.named("rollout"),
            gcp.cloudbuild.TriggerArgs(
                name=f"{foundation.stack.name}-rollout",
                location=foundation.stack.build_region,
                service_account=builder.id,
                pubsub_config=gcp.cloudbuild.TriggerPubsubConfigArgs(topic=topic.id),
                substitutions={
                    "_EVENT_TYPE": "$(body.message.attributes.eventType)",
                    "_OBJECT": "$(body.message.attributes.objectId)",
                },
                filter=(
                    '_EVENT_TYPE == "OBJECT_FINALIZE" && '
                    '_OBJECT.matches("^rollout/(live|base)/[a-z0-9-]+[.]json$")'
                ),
                build=gcp.cloudbuild.TriggerBuildArgs(
                    steps=[
                        # The workspace is root's, and the control image's user is not.
                        self._docker("open", script=f"chmod 0777 {_WORKSPACE}"),
                        self._control("fetch"),
                        self._docker(
                            "bundle",
                            script=resources.files("stacks.scripts")
                            .joinpath("bundle.sh")
                            .read_text(),
                            envs=[f"MEMORY={POST_MEMORY}"],
                        ),
                        self._control("live"),
                    ],
                    timeout="1200s",
                    # A service account of one's own may not write to Cloud Build's log bucket.
                    options=gcp.cloudbuild.TriggerBuildOptionsArgs(logging="CLOUD_LOGGING_ONLY"),
                ),
            ),
            self.child(foundation.service("cloudbuild")),
        )

    def _docker(
        self, step: str, *, script: str, envs: list[str] | None = None
    ) -> gcp.cloudbuild.TriggerBuildStepArgs:
        return gcp.cloudbuild.TriggerBuildStepArgs(id=step, name=_DOCKER, script=script, envs=envs)

    def _control(self, verb: str) -> gcp.cloudbuild.TriggerBuildStepArgs:
        return gcp.cloudbuild.TriggerBuildStepArgs(
            id=verb,
            name=self._images.control,
            args=[verb],
            # Cloud Build would begin in the workspace, where there is no program.
            dir="/srv",
            envs=[
                # Text from outside: handed over as a value, never spliced into a command.
                "OBJECT=$_OBJECT",
                pulumi.Output.concat("MODELS_BUCKET=", self._foundation.models.name),
                f"REPOSITORY={self._foundation.registry.url}",
                f"WORKSPACE={_WORKSPACE}",
            ],
        )
