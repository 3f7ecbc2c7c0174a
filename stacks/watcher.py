"""The watcher: a scheduled job that repeats lost builds and reports silent accounts."""

import pulumi_gcp as gcp

from pipeline import layout
from stacks import config
from stacks.bucket import READ, WRITE
from stacks.component import Component
from stacks.job import Schedule
from stacks.shared import Shared


class Watcher(Component):
    """Reads pointers, tags and records of posts, and publishes to the rollout topic."""

    def __init__(self, shared: Shared) -> None:
        project, storage, topic = shared.project, shared.storage, shared.release.topic
        super().__init__(project.named("watcher"), project)
        identity = project.identity("watcher", "notices lost builds and silent accounts")
        storage.data.grant(
            "watcher",
            identity.member,
            READ,
            layout.all_declared(),
            layout.runs_by_hand(),
            layout.all_collected(),
            layout.all_posts(),
        )
        storage.data.grant("watcher", identity.member, WRITE, layout.watch_state())
        storage.models.grant(
            "watcher", identity.member, READ, layout.all_pointers(), layout.all_runs()
        )
        storage.may_list(identity.member)
        shared.registry.grant("watcher-tags", identity, "reader")
        gcp.pubsub.TopicIAMMember(
            self.named("watcher-publish"),
            gcp.pubsub.TopicIAMMemberArgs(
                topic=topic.name, role="roles/pubsub.publisher", member=identity.member
            ),
            self.child(),
        )
        monitoring = project.stack.monitoring or config.Monitoring()
        shared.scheduler.job(
            self.named("watcher"),
            self,
            physical_name=layout.watcher_job(project.stack.name),
            image=shared.images.control,
            args=["watch"],
            runs_as=identity,
            env={
                "DATA_BUCKET": storage.data.name,
                "MODELS_BUCKET": storage.models.name,
                "REPOSITORY": shared.registry.url,
                "TOPIC": topic.id,
            },
            schedule=Schedule(monitoring.watch, "Etc/UTC"),
            timeout=600,
            memory="512Mi",
        )
        self.register_outputs({})
