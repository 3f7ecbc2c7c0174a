"""Build triggers that wait for messages of Pub/Sub."""

import re
import uuid
from collections.abc import Iterator
from typing import ClassVar

from local.engine.handler import Failure, Json
from local.services.cloudbuild import filters
from local.services.context import email_of, section
from local.services.handler import GoogleHandler
from local.services.iam.grants import account_must_exist
from local.services.pubsub.resources import TOPIC, topic_name

TRIGGER = "gcp:cloudbuild/trigger:Trigger"
FIELD = re.compile(r"\$\(body\.message\.([A-Za-z0-9_.]+)\)")
"""A field of the message that a substitution refers to."""

_SOURCES = ("build", "filename", "gitFileSource")


class Trigger(GoogleHandler):
    """A build that starts for each message that the trigger's filter lets through."""

    replace_on: ClassVar = frozenset({"location", "project"})

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Yields what Cloud Build refuses, and what the local cloud does not have."""
        if sum(key in inputs for key in _SOURCES) != 1:
            yield "build", f"give exactly one of {', '.join(_SOURCES)}"
        elif "build" not in inputs:
            yield "build", "the local cloud runs an inline build only"
        else:
            yield from _build_failures(inputs)
        if not section(inputs, "pubsubConfig").get("topic"):
            yield "pubsubConfig", "the local cloud has only triggers of Pub/Sub topics"
        for key, value in section(inputs, "substitutions").items():
            if not re.fullmatch(r"_[A-Z0-9_]+", key):
                yield f"substitutions.{key}", "keys begin with an underscore: _LIKE_THIS"
            if "$(" in FIELD.sub("", value):
                yield f"substitutions.{key}", f"{value!r} is not of the form $(body.message.…)"
        if inputs.get("filter"):
            try:
                filters.parse(inputs["filter"])
            except ValueError as error:
                yield "filter", str(error)

    def create(self, _name: str, inputs: Json) -> tuple[str, Json]:
        """Makes the trigger, which listens from now on."""
        self.update("", {}, inputs)
        number = str(uuid.uuid4())
        location = f"projects/{inputs['project']}/locations/{inputs.get('location', 'global')}"
        outputs = {"triggerId": number, "createTime": self._context.timestamp()}
        return f"{location}/triggers/{number}", outputs

    def update(self, _id: str, _old_outputs: Json, inputs: Json) -> Json:
        """Checks that topic and account exist. Builds that run go on as they began."""
        topic = topic_name(inputs["pubsubConfig"]["topic"], self._context.project)
        self._context.declared(TOPIC, topic)
        if "serviceAccount" in inputs:
            account_must_exist(self._context, email_of(inputs["serviceAccount"]))
        return {}


def _build_failures(inputs: Json) -> Iterator[Failure]:
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
