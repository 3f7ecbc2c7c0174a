"""The builds that triggers start.

It cannot show how long a build waits for a machine, nor machine types, caches and artifacts. It
assumes that an update of a trigger does not revive its expired subscription.
"""

import json
import os
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel

from local.engine.handler import Json
from local.records import Records
from local.resources import Resource
from local.services.cloudbuild import filters
from local.services.cloudbuild.resources import FIELD, TRIGGER
from local.services.context import Context, email_of, section
from local.services.pubsub.messages import Message
from local.services.pubsub.resources import topic_name
from pipeline.errors import UserError

# How many builds run at once. More builds wait.
_AT_ONCE = 2
# Pub/Sub's default for a subscription, which Cloud Build does not change for a trigger's own.
# Source: https://github.com/hashicorp/terraform-provider-google/issues/13234
_EXPIRY = timedelta(days=31)


class Build(BaseModel):
    """One build. `substitutions` are all that its steps may refer to."""

    id: str
    trigger: str
    started: datetime
    ended: datetime | None = None
    status: Literal["QUEUED", "WORKING", "SUCCESS", "FAILURE"] = "QUEUED"
    substitutions: dict[str, str]
    declared: dict[str, Any]
    account: str
    reason: str = ""
    log: Path


class Subscription(BaseModel):
    """A trigger's own subscription: when it last received a message."""

    active: datetime


class Builds:
    """Starts builds for messages, runs a few at once, and keeps the outcome of each.

    Delivery is at least once: a build that had not ended when the local cloud stopped runs again.
    A trigger that has received nothing for 31 days never receives a message again, whatever its
    filter says. `report` is told of that.
    """

    def __init__(self, context: Context, report: Callable[[str], None]) -> None:
        self._context = context
        self._report = report
        self._subscriptions = Records(context.home / "subscriptions.json", Subscription)
        self._records = Records(context.home / "builds.json", Build)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="build")

    def resume(self) -> None:
        """Runs again the builds that the end of the local cloud interrupted."""
        for build in self.all():
            if build.ended is None:
                self._pool.submit(self._run, build)

    def stop(self) -> None:
        """Starts no more builds. Those that run end with their processes."""
        self._pool.shutdown(cancel_futures=True)

    def all(self) -> list[Build]:
        """Returns all builds, oldest first."""
        return self._records.all()

    def running(self) -> bool:
        """Tells whether any build has not ended yet."""
        return any(build.ended is None for build in self.all())

    def deliver(self, topic: str, message: Message) -> None:
        """Starts a build of every trigger that listens to `topic` and whose filter agrees."""
        for trigger in self._context.resources.of_type(TRIGGER):
            inputs = trigger.inputs
            listens = topic_name(inputs["pubsubConfig"]["topic"], self._context.project) == topic
            if not listens or inputs.get("disabled"):
                continue
            if not self._receives(trigger):
                self._report(
                    f"{inputs['name']} starts no build: its subscription expired after"
                    f" {_EXPIRY.days} days without a message; make the trigger anew"
                )
                continue
            values = _substitutions(inputs, message)
            try:
                wanted = filters.parse(inputs.get("filter") or "true")(values)
            except ValueError as error:
                self._report(f"{inputs['name']} starts no build: {error}")
                continue
            if wanted:
                self._start(trigger, values)

    def _receives(self, trigger: Resource) -> bool:
        """Tells whether the trigger's subscription still exists, and marks it as active now."""
        now = self._context.clock.now()
        found = self._subscriptions.get(trigger.id)
        made = datetime.fromisoformat(trigger.outputs["createTime"])
        if now - (found.active if found else made) > _EXPIRY:
            return False
        self._subscriptions.put(trigger.id, Subscription(active=now))
        return True

    def _start(self, trigger: Resource, values: Mapping[str, str]) -> None:
        inputs = trigger.inputs
        identity = str(uuid.uuid4())
        account = email_of(inputs.get("serviceAccount") or self._context.default_account)
        build = Build(
            id=identity,
            trigger=inputs["name"],
            started=self._context.clock.now(),
            substitutions={
                "PROJECT_ID": self._context.project,
                "PROJECT_NUMBER": self._context.number,
                "BUILD_ID": identity,
                "LOCATION": inputs.get("location", "global"),
                "TRIGGER_NAME": inputs["name"],
                "SERVICE_ACCOUNT_EMAIL": account,
                **values,
            },
            declared=inputs["build"],
            account=account,
            log=self._context.log("builds", identity),
        )
        self._records.put(identity, build)
        self._pool.submit(self._run, build)

    def _run(self, build: Build) -> None:
        self._records.put(build.id, build.model_copy(update={"status": "WORKING"}))
        # A build that may not write logs runs all the same, and nobody sees its output.
        unseen = self._context.not_logged(build.account)
        if unseen:
            build.log.write_text(f"-- the build's output {unseen}\n")
        file = Path(os.devnull) if unseen else build.log
        with file.open("ab", buffering=0) as log:
            try:
                code = self._context.runtime.steps(
                    build.declared,
                    build.substitutions,
                    network=self._context.network(build.id, build.account, {}),
                    log=log,
                )
                reason = f"a step exited with {code}" if code else ""
            except UserError as error:
                code, reason = 1, str(error)
            log.write(f"-- {reason or 'done'}\n".encode())
        if self._context.processes.stopping:
            return  # It runs again when the local cloud starts.
        status = "FAILURE" if code else "SUCCESS"
        over = {"status": status, "ended": self._context.clock.now(), "reason": reason}
        self._records.put(build.id, build.model_copy(update=over))


def _substitutions(inputs: Json, message: Message) -> dict[str, str]:
    """Returns the trigger's substitutions, with what they take from the message."""
    try:
        data = json.loads(message.data or "{}")
    except ValueError:
        data = {}
    body: Json = {
        "attributes": dict(message.attributes),
        "messageId": message.id,
        "publishTime": message.published,
        "data": data,
    }
    values = section(inputs["build"], "substitutions") | section(inputs, "substitutions")
    return {
        key: FIELD.sub(lambda match: _at(body, match[1].split(".")), value)
        for key, value in values.items()
    }


def _at(value: Any, path: list[str]) -> str:
    for key in path:
        value = cast("Json", value).get(key, "") if isinstance(value, dict) else ""
    return value if isinstance(value, str) else json.dumps(value)
