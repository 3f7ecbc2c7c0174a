"""One bot: how it collects, how it posts, and on which image."""

import json

import pulumi
import pulumi_docker_build as docker_build
import pulumi_gcp as gcp

from pipeline import layout
from stacks import config, naming
from stacks.component import Component
from stacks.foundation import Foundation
from stacks.images import Images
from stacks.job import Schedule, ScheduledJob
from stacks.release import POST_MEMORY, Release
from stacks.scraper import Scraper
from stacks.secret import Secret

# Seconds; the poster's claim on a slot outlasts it.
_POST_TIMEOUT = 600
_COLLECT_TIMEOUT = 1800


class Account(Component):
    """The resources of one bot; adding or removing it touches nothing else."""

    def __init__(
        self,
        name: str,
        bot: config.Account,
        foundation: Foundation,
        scraper: Scraper,
        images: Images,
        release: Release,
    ) -> None:
        super().__init__(name, foundation)
        self._name = name
        self._bot = bot
        self._foundation = foundation
        self._schedules()
        if bot.collect is not None:
            self._collect(scraper, images, bot.collect)
        live = self._live_image(images, release)
        if bot.post is not None:
            self._post(live, bot.post)
        self.register_outputs({})

    def _schedules(self) -> None:
        """What the watcher measures the account by; an object, so that its job names no account."""
        gcp.storage.BucketObject(
            f"{self._name}-schedules",
            gcp.storage.BucketObjectArgs(
                bucket=self._foundation.data.name,
                name=layout.schedules(self._name),
                content_type="application/json",
                content=json.dumps(
                    {
                        "time_zone": self._bot.time_zone,
                        "collect": self._bot.collect,
                        "post": self._bot.post,
                    }
                ),
            ),
            self.child(),
        )

    def _collect(self, scraper: Scraper, images: Images, cron: str) -> None:
        ScheduledJob(
            f"{self._name}-collect",
            self,
            self._foundation,
            physical_name=naming.job(self._foundation.stack.name, self._name, "collect"),
            image=images.scraper,
            args=[],
            runs_as=scraper.identity,
            env={
                "ACCOUNT": self._name,
                "HANDLE": self._bot.handle,
                "DATA_BUCKET": self._foundation.data.name,
                "READS_USD_PER_MONTH": str(self._bot.reads_usd_per_month),
            },
            secrets={"X_BEARER_SECRET": scraper.bearer},
            schedule=Schedule(cron, self._bot.time_zone),
            timeout=_COLLECT_TIMEOUT,
            memory="512Mi",
            needs=[],
        )

    def _live_image(self, images: Images, release: Release) -> docker_build.Index:
        """`:live`, made once on the bare app so that the job can exist; then the builds move it.

        It is never updated, lest it point back at the bare app, and never deleted, lest it take
        the manifest along that it points at by then.
        """
        live = docker_build.Index(
            f"{self._name}-live",
            docker_build.IndexArgs(
                tag=f"{self._foundation.registry.url}/{self._name}:live",
                sources=[images.app],
                push=True,
            ),
            self.child(
                self._foundation.registry.repository,
                ignore_changes=["*"],
                retain_on_delete=True,
            ),
        )
        gcp.storage.BucketObject(
            f"{self._name}-base",
            gcp.storage.BucketObjectArgs(
                bucket=self._foundation.models.name,
                name=layout.base_pointer(self._name),
                content_type="application/json",
                # The seed's digest is part of it, so that a seed that was pushed again makes an
                # event, and the event's build points `:live` at the release again.
                content=pulumi.Output.json_dumps({"base": images.app, "seed": live.ref}),
            ),
            # Written when its event already finds the build.
            self.child(release),
        )
        return live

    def _post(self, live: docker_build.Index, cron: str) -> None:
        stack = self._foundation.stack.name
        poster = gcp.serviceaccount.Account(
            f"{self._name}-post",
            gcp.serviceaccount.AccountArgs(
                account_id=naming.service_account(stack, f"{self._name}-post"),
                display_name=f"{stack}: posts for {self._name}",
            ),
            self.child(self._foundation.service("iam")),
        )
        self._foundation.data.folder(self._name, poster.member, layout.posts(self._name))
        self._foundation.data.may_list(poster.member)
        keys = Secret(
            f"{self._name}-x-keys",
            self,
            secret_id=layout.keys_secret(stack, self._name),
            readable_by=poster.member,
            needs=self._foundation.service("secretmanager"),
        )
        ScheduledJob(
            f"{self._name}-post",
            self,
            self._foundation,
            physical_name=naming.job(stack, self._name, "post"),
            # A job looks its tag up at each execution, so that a release needs no rollout.
            image=f"{self._foundation.registry.url}/{self._name}:live",
            args=["post"],
            runs_as=poster,
            env={
                "ACCOUNT": self._name,
                "DATA_BUCKET": self._foundation.data.name,
                "SCHEDULE": cron,
                "TIME_ZONE": self._bot.time_zone,
                "POSTS_USD_PER_MONTH": str(self._bot.posts_usd_per_month),
                "TASK_TIMEOUT": str(_POST_TIMEOUT),
            },
            secrets={"X_KEYS_SECRET": keys},
            schedule=Schedule(cron, self._bot.time_zone),
            timeout=_POST_TIMEOUT,
            memory=POST_MEMORY,
            needs=[live],
        )
