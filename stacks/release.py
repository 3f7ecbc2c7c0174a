"""From a pointer that changed to an image: notification, topic, and the build that it starts."""

from importlib import resources

import pulumi
import pulumi_gcp as gcp

from stacks.bucket import READ
from stacks.component import Component
from stacks.foundation import Foundation

_CLOUD_SDK = "gcr.io/google.com/cloudsdktool/google-cloud-cli:slim"
_DOCKER = "gcr.io/cloud-builders/docker"


class Release(Component):
    """Makes the image of every release that a pointer asks for, and moves `:live` to it."""

    def __init__(self, foundation: Foundation) -> None:
        super().__init__(foundation.named("release"), foundation)
        self._foundation = foundation
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
        foundation.models.may_list("build", builder.member)
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
                location=foundation.stack.region,
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
                        self._step("fetch", _CLOUD_SDK, "rollout.py"),
                        self._step("bundle", _DOCKER, "bundle.sh"),
                        self._step("live", _CLOUD_SDK, "rollout.py"),
                    ],
                    timeout="1200s",
                    # A service account of one's own may not write to Cloud Build's log bucket.
                    options=gcp.cloudbuild.TriggerBuildOptionsArgs(logging="CLOUD_LOGGING_ONLY"),
                ),
            ),
            self.child(foundation.service("cloudbuild")),
        )

    def _step(self, step: str, image: str, script: str) -> gcp.cloudbuild.TriggerBuildStepArgs:
        return gcp.cloudbuild.TriggerBuildStepArgs(
            id=step,
            name=image,
            script=resources.files("stacks.scripts").joinpath(script).read_text(),
            envs=[
                f"STEP={step}",
                # Text from outside: handed over as a value, never spliced into the script.
                "OBJECT=$_OBJECT",
                pulumi.Output.concat("MODELS=", self._foundation.models.name),
                f"REPOSITORY={self._foundation.registry.url}",
            ],
        )
