"""The watcher: a scheduled job that has lost builds made again and notices who went silent."""

import pulumi_gcp as gcp

from pipeline import layout
from stacks import config, naming
from stacks.bucket import READ, WRITE
from stacks.component import Component
from stacks.foundation import Foundation
from stacks.images import Images
from stacks.job import Schedule, ScheduledJob
from stacks.release import Release


class Watcher(Component):
    """Reads pointers, tags and what became of posts; publishes to the rollout topic, no more."""

    def __init__(self, foundation: Foundation, images: Images, release: Release) -> None:
        super().__init__(foundation.named("watcher"), foundation)
        self._foundation = foundation
        identity = foundation.identity("watcher", "notices lost builds and silent accounts")
        self._grants(identity, release)
        monitoring = foundation.stack.monitoring or config.Monitoring()
        ScheduledJob(
            self.named("watcher"),
            self,
            foundation,
            physical_name=naming.watcher(foundation.stack.name),
            image=images.control,
            args=["watch"],
            runs_as=identity,
            env={
                "DATA_BUCKET": foundation.data.name,
                "MODELS_BUCKET": foundation.models.name,
                "REPOSITORY": foundation.registry.url,
                "TOPIC": release.topic.id,
            },
            secrets={},
            schedule=Schedule(monitoring.watch, "Etc/UTC"),
            timeout=600,
            memory="512Mi",
            needs=[],
        )
        self.register_outputs({})

    def _grants(self, identity: gcp.serviceaccount.Account, release: Release) -> None:
        foundation, member = self._foundation, identity.member
        foundation.data.grant(
            "watcher",
            member,
            READ,
            layout.schedules(),
            layout.runs_by_hand(),
            "collected/",
            "posts/",
        )
        foundation.data.grant("watcher", member, WRITE, layout.watch_state())
        foundation.data.may_list(member)
        foundation.models.grant("watcher", member, READ, "rollout/", "runs/")
        foundation.models.may_list(member)
        foundation.may_use_images("watcher-tags", identity, "reader")
        gcp.pubsub.TopicIAMMember(
            self.named("watcher-publish"),
            gcp.pubsub.TopicIAMMemberArgs(
                topic=release.topic.name, role="roles/pubsub.publisher", member=member
            ),
            self.child(),
        )
