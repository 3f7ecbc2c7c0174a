"""Cloud Build: triggers that wait for messages, and the builds that they start."""

import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from local.provider.kinds import Json, Kind
from local.resources import Resource
from local.services import filters
from local.services.iam import must_exist
from local.services.pubsub import TOPIC, Message, topic_name
from local.services.records import Records
from local.services.world import World, email_of, section
from pipeline.errors import UserError

TRIGGER = "gcp:cloudbuild/trigger:Trigger"

# How many builds run at once; more wait.
_AT_ONCE = 2
# Pub/Sub's default for a subscription, which Cloud Build does not change for a trigger's own.
# Source: https://github.com/hashicorp/terraform-provider-google/issues/13234
_IDLE = timedelta(days=31)
_PLACE = re.compile(r"\$\(body\.message\.([A-Za-z0-9_.]+)\)")
_KINDS_OF_BUILD = ("build", "filename", "gitFileSource")


def kinds(world: World) -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {TRIGGER: Trigger(world)}


class Trigger(Kind):
    """A build that starts for each message that its filter lets through."""

    replace_on: ClassVar = frozenset({"location", "project"})

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """What Cloud Build refuses, and what the local cloud does not know."""
        return list(_complaints(inputs))

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """It listens from now on."""
        del name
        self._must_stand(inputs)
        number = str(uuid.uuid4())
        trigger = (
            f"projects/{inputs['project']}/locations/{inputs.get('location', 'global')}"
            f"/triggers/{number}"
        )
        return trigger, {"triggerId": number, "createTime": self._world.timestamp()}

    def update(self, id: str, old_outputs: Json, inputs: Json) -> Json:  # noqa: A002
        """Builds that run go on as they began."""
        del id, old_outputs
        self._must_stand(inputs)
        return {}

    def _must_stand(self, inputs: Json) -> None:
        self._world.declared(
            TOPIC, topic_name(inputs["pubsubConfig"]["topic"], self._world.project)
        )
        if "serviceAccount" in inputs:
            must_exist(self._world, email_of(inputs["serviceAccount"]))


def _complaints(inputs: Json) -> Iterator[tuple[str, str]]:
    if sum(key in inputs for key in _KINDS_OF_BUILD) != 1:
        yield "build", f"give exactly one of {', '.join(_KINDS_OF_BUILD)}"
    elif "build" not in inputs:
        yield "build", "the local cloud runs an inline build only"
    else:
        yield from _build_complaints(inputs)
    if not section(inputs, "pubsubConfig").get("topic"):
        yield "pubsubConfig", "the local cloud knows no trigger but that of a Pub/Sub topic"
    for key, value in section(inputs, "substitutions").items():
        if not re.fullmatch(r"_[A-Z0-9_]+", key):
            yield f"substitutions.{key}", "keys begin with an underscore: _LIKE_THIS"
        if "$(" in _PLACE.sub("", value):
            yield f"substitutions.{key}", f"{value!r} is not of the form $(body.message.…)"
    if inputs.get("filter"):
        try:
            filters.parse(inputs["filter"])
        except ValueError as error:
            yield "filter", str(error)


def _build_complaints(inputs: Json) -> Iterator[tuple[str, str]]:
    build = inputs["build"]
    logging = section(build, "options").get("logging")
    own_log = logging in ("CLOUD_LOGGING_ONLY", "NONE") or "logsBucket" in build
    if "serviceAccount" in inputs and not own_log:
        reason = (
            "a build with a service account of its own may not write to Cloud Build's log bucket: "
            "set CLOUD_LOGGING_ONLY"
        )
        yield "build.options.logging", reason
    timeout = build.get("timeout", "600s")
    if not re.fullmatch(r"\d+(\.\d+)?s", timeout):
        yield "build.timeout", f"{timeout!r} is not a number of seconds such as '600s'"


def _substitutions(inputs: Json, message: Message) -> dict[str, str]:
    """The trigger's substitutions with what they take from the message."""
    values = section(inputs["build"], "substitutions") | section(inputs, "substitutions")
    return {
        key: _PLACE.sub(lambda match: _place(message, match[1].split(".")), value)
        for key, value in values.items()
    }


def _place(message: Message, path: list[str]) -> str:
    try:
        data = json.loads(message.data or "{}")
    except ValueError:
        data = {}
    found: Any = {
        "attributes": dict(message.attributes),
        "messageId": message.id,
        "publishTime": message.published,
        "data": data,
    }
    for key in path:
        found = found.get(key, "") if isinstance(found, dict) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return found if isinstance(found, str) else json.dumps(found)


class Build(BaseModel):
    """One build; `substitutions` are all that its steps may refer to."""

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
    """A trigger's own: when it last received a message, which its making counts as."""

    active: datetime


class Builds:
    """Starts builds for messages, runs a few at once, and keeps what became of each.

    Delivery is at least once: a build that had not ended when the local cloud stopped is run again.
    A trigger that has received nothing for 31 days never hears of a message again, whatever its
    filter says; `report` is told. It is assumed that no update of the trigger makes that good.
    """

    def __init__(self, world: World, report: Callable[[str], None]) -> None:
        self._world = world
        self._report = report
        self._subscriptions = Records(world.home / "subscriptions.json", Subscription)
        self._records = Records(world.home / "builds.json", Build)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="build")

    def resume(self) -> None:
        """Run again what the end of the local cloud interrupted."""
        for build in self.all():
            if build.ended is None:
                self._pool.submit(self._run, build)

    def stop(self) -> None:
        """Start no more; those that run end with their processes."""
        self._pool.shutdown(cancel_futures=True)

    def all(self) -> list[Build]:
        """All builds, oldest first."""
        return list(self._records.all().values())

    def running(self) -> bool:
        """Whether any has not ended yet."""
        return any(build.ended is None for build in self.all())

    def deliver(self, topic: str, message: Message) -> None:
        """Start a build of every trigger that listens to `topic` and whose filter agrees."""
        for trigger in self._world.resources.of_type(TRIGGER):
            inputs = trigger.inputs
            listens = topic_name(inputs["pubsubConfig"]["topic"], self._world.project) == topic
            if not listens or inputs.get("disabled"):
                continue
            if not self._receives(trigger):
                self._report(
                    f"{inputs['name']} starts no build: its subscription expired after"
                    f" {_IDLE.days} days without a message; make the trigger anew"
                )
                continue
            values = _substitutions(inputs, message)
            if filters.parse(inputs.get("filter") or "_ == ''")(values):
                self._start(trigger, values)

    def _receives(self, trigger: Resource) -> bool:
        """Whether the trigger's subscription is there still, which then is active now."""
        now = self._world.clock.now()
        found = self._subscriptions.get(trigger.id)
        made = datetime.fromisoformat(trigger.outputs["createTime"])
        if now - (found.active if found else made) > _IDLE:
            return False
        self._subscriptions.put(trigger.id, Subscription(active=now))
        return True

    def _start(self, trigger: Resource, values: Mapping[str, str]) -> None:
        inputs = trigger.inputs
        identity = str(uuid.uuid4())
        account = email_of(inputs.get("serviceAccount") or self._world.default_account)
        build = Build(
            id=identity,
            trigger=inputs["name"],
            started=self._world.clock.now(),
            substitutions={
                "PROJECT_ID": self._world.project,
                "PROJECT_NUMBER": self._world.number,
                "BUILD_ID": identity,
                "LOCATION": inputs.get("location", "global"),
                "TRIGGER_NAME": inputs["name"],
                "SERVICE_ACCOUNT_EMAIL": account,
                **values,
            },
            declared=inputs["build"],
            account=account,
            log=self._world.log("builds", identity),
        )
        self._records.put(identity, build)
        self._pool.submit(self._run, build)

    def _run(self, build: Build) -> None:
        self._records.put(build.id, build.model_copy(update={"status": "WORKING"}))
        # A build that may not log goes on, and nothing of it is seen.
        unseen = self._world.not_logged(build.account)
        if unseen:
            build.log.write_text(f"-- the build's output {unseen}\n")
        file = Path(os.devnull) if unseen else build.log
        with file.open("ab", buffering=0) as log:
            try:
                code = self._world.machine.steps(
                    build.declared,
                    build.substitutions,
                    network=self._world.network(build.id, build.account, {}),
                    log=log,
                )
                reason = f"a step exited with {code}" if code else ""
            except UserError as error:
                code, reason = 1, str(error)
            log.write(f"-- {reason or 'done'}\n".encode())
        if self._world.processes.stopping:
            return  # it is run again when the local cloud starts
        self._records.put(
            build.id,
            build.model_copy(
                update={
                    "status": "FAILURE" if code else "SUCCESS",
                    "ended": self._world.clock.now(),
                    "reason": reason,
                }
            ),
        )
