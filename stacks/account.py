"""One bot: when it collects and posts, and the image that it posts with."""

import json

import pulumi
import pulumi_docker_build as docker_build
import pulumi_gcp as gcp

from pipeline import layout
from stacks import config, naming
from stacks.component import Component
from stacks.job import Schedule
from stacks.release import POST_MEMORY
from stacks.secret import Secret
from stacks.shared import Shared

# Seconds. The poster's claim on a slot is valid for longer.
_POST_TIMEOUT = 600
_COLLECT_TIMEOUT = 1800


class Account(Component):
    """The resources of one bot. Adding or removing a bot changes no other bot's resources."""

    def __init__(self, name: str, bot: config.Account, shared: Shared) -> None:
        super().__init__(name, shared.project)
        self._name = name
        self._bot = bot
        self._shared = shared
        self._declared()
        if bot.post is not None or bot.read_with == "keys":
            secret_id = layout.keys_secret(shared.project.stack.name, name)
            keys = Secret(f"{name}-x-keys", self, shared.project, secret_id)
        else:
            keys = None
        if bot.collect is not None:
            self._collect(keys, bot.collect)
        live = self._live_image()
        if bot.post is not None and keys:
            self._post(live, keys, bot.post)
        self.register_outputs({})

    def _declared(self) -> None:
        """Write what the stack file says of the account to an object that other programs read.

        So no job of the stack names accounts, and a new account changes none.
        """
        gcp.storage.BucketObject(
            f"{self._name}-declared",
            gcp.storage.BucketObjectArgs(
                bucket=self._shared.storage.data.name,
                name=layout.declared(self._name),
                content_type="application/json",
                content=json.dumps(
                    {
                        "version": 2,
                        "time_zone": self._bot.time_zone,
                        "collect": self._bot.collect,
                        "post": self._bot.post,
                        "learn": self._bot.learn.model_dump(mode="json"),
                    }
                ),
            ),
            self.child(),
        )

    def _collect(self, keys: Secret | None, cron: str) -> None:
        shared, scraper = self._shared, self._shared.scraper
        secrets = {"X_BEARER_SECRET": scraper.bearer}
        if keys and self._bot.read_with == "keys":
            name = f"{self._name}-x-keys-collect"
            secrets["X_KEYS_SECRET"] = keys.readable_by(scraper.identity, name, self)
        all_reads = shared.project.stack.reads_usd_per_month
        shared.scheduler.job(
            f"{self._name}-collect",
            self,
            physical_name=layout.job(shared.project.stack.name, self._name, "collect"),
            image=shared.images.scraper,
            args=[],
            runs_as=scraper.identity,
            env={
                "ACCOUNT": self._name,
                "HANDLE": self._bot.handle,
                "DATA_BUCKET": shared.storage.data.name,
                "READS_USD_PER_MONTH": str(self._bot.reads_usd_per_month),
                **({} if all_reads is None else {"STACK_READS_USD_PER_MONTH": str(all_reads)}),
                "TASK_TIMEOUT": str(_COLLECT_TIMEOUT),
            },
            secrets=secrets,
            schedule=Schedule(cron, self._bot.time_zone),
            timeout=_COLLECT_TIMEOUT,
            memory="512Mi",
        )

    def _live_image(self) -> docker_build.Index:
        """Declare the tag `:live` and the base pointer.

        The tag is created once, on the app base, so that the job can exist before the first
        release. After that, builds move it. An update would move it back to the app base, and a
        deletion would delete the image that it points at, so neither happens.
        """
        registry, images = self._shared.registry, self._shared.images
        live = docker_build.Index(
            f"{self._name}-live",
            docker_build.IndexArgs(
                tag=f"{registry.url}/{self._name}:live", sources=[images.app], push=True
            ),
            self.child(registry.repository, ignore_changes=["*"], retain_on_delete=True),
        )
        gcp.storage.BucketObject(
            f"{self._name}-base",
            gcp.storage.BucketObjectArgs(
                bucket=self._shared.storage.models.name,
                name=layout.base_pointer(self._name),
                content_type="application/json",
                # `seed` has the digest of the first `:live`. If that is pushed again, the pointer
                # changes, and the build that follows moves `:live` to the release again.
                content=pulumi.Output.json_dumps({"base": images.app, "seed": live.ref}),
            ),
            # After the release component: a pointer's event needs the build that it starts.
            self.child(self._shared.release),
        )
        return live

    def _post(self, live: docker_build.Index, keys: Secret, cron: str) -> None:
        shared, stack = self._shared, self._shared.project.stack.name
        poster = gcp.serviceaccount.Account(
            f"{self._name}-post",
            gcp.serviceaccount.AccountArgs(
                account_id=naming.service_account(stack, f"{self._name}-post"),
                display_name=f"{stack}: posts for {self._name}",
            ),
            self.child(shared.project.service("iam")),
        )
        shared.storage.data.grant_folder(self._name, poster.member, layout.posts(self._name))
        shared.storage.data.may_list(poster.member)
        shared.scheduler.job(
            f"{self._name}-post",
            self,
            physical_name=layout.job(stack, self._name, "post"),
            # Each execution resolves the tag, so a release changes no job.
            image=f"{shared.registry.url}/{self._name}:live",
            args=["post"],
            runs_as=poster,
            env={
                "ACCOUNT": self._name,
                "DATA_BUCKET": shared.storage.data.name,
                "SCHEDULE": cron,
                "TIME_ZONE": self._bot.time_zone,
                "POSTS_USD_PER_MONTH": str(self._bot.posts_usd_per_month),
                "TASK_TIMEOUT": str(_POST_TIMEOUT),
            },
            secrets={"X_KEYS_SECRET": keys.readable_by(poster, f"{self._name}-x-keys", self)},
            schedule=Schedule(cron, self._bot.time_zone),
            timeout=_POST_TIMEOUT,
            memory=POST_MEMORY,
            needs=[live],
        )
