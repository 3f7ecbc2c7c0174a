"""Pub/Sub: topics, and the delivery of what is published to those who listen.

It cannot show ordering, redelivery, or a message that is lost.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from local import iam
from local.front.refusal import Refused
from local.provider.kinds import Json, Kind
from local.services.world import World, short, unique_number
from local.web import Request, Response

TOPIC = "gcp:pubsub/topic:Topic"
PUBLISH = r"/v1/(projects/[^/]+/topics/[^/:]+):publish"


def kinds() -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {TOPIC: Topic()}


def topic_name(topic: str, project: str) -> str:
    """A topic's full name from any of the forms in which Google's services take it."""
    name = topic.removeprefix("//pubsub.googleapis.com/")
    return name if name.startswith("projects/") else f"projects/{project}/topics/{name}"


class Topic(Kind):
    """A topic."""

    replace_on: ClassVar = frozenset({"name", "project"})

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Its id is its full name."""
        del name
        return topic_name(inputs["name"], inputs["project"]), {}


@dataclass(frozen=True)
class Message:
    """What was published; `data` is text."""

    id: str
    attributes: Mapping[str, str]
    data: str
    published: str


Listener = Callable[[str, Message], None]
"""Takes the topic's full name and a message; called on the publisher's thread, so it is quick."""


class Messages:
    """The way from publishers to listeners; `report` is told of what may not be published."""

    def __init__(self, world: World, report: Callable[[str], None]) -> None:
        self._world = world
        self._report = report
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Deliver every message to `listener` too."""
        self._listeners.append(listener)

    def publish(self, publisher: str, topic: str, attributes: Mapping[str, str], data: str) -> None:
        """Deliver a message, if the account `publisher` may publish to a topic that exists."""
        if self._world.resources.get(TOPIC, topic) is None:
            self._report(f"nothing can be published to {topic}: it does not exist")
            return
        try:
            self._world.policy.require(iam.member(publisher), "pubsub.topics.publish", topic)
        except iam.Denied as denied:
            self._report(f"nothing is published to {topic}: {denied}")
            return
        self._deliver(topic, attributes, data)

    def answer(self, match: re.Match[str], request: Request, member: str) -> Response:
        """The call `projects.topics.publish` of a program, at `PUBLISH`.

        Source: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish
        """
        topic = match[1]
        if request.method != "POST":
            raise Refused(404, "notFound", f"{request.method} {request.path} is no call of Pub/Sub")
        try:
            self._world.policy.require(member, "pubsub.topics.publish", topic)
        except iam.Denied as denied:
            raise Refused(403, "forbidden", str(denied)) from denied
        if self._world.resources.get(TOPIC, topic) is None:
            raise Refused(404, "notFound", f"Resource not found (resource={short(topic)}).")
        try:
            messages = [_message(given) for given in json.loads(request.body.read())["messages"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refused(400, "badRequest", f"no list of messages: {error!r}") from error
        return Response.json(200, {"messageIds": [self._deliver(topic, *m) for m in messages]})

    def _deliver(self, topic: str, attributes: Mapping[str, str], data: str) -> str:
        now = self._world.timestamp()
        number = unique_number(topic, now, *attributes.values())[:16]
        for listener in self._listeners:
            listener(topic, Message(number, attributes, data, now))
        return number


def _message(given: Json) -> tuple[dict[str, str], str]:
    """Attributes and data of a message in REST's form; one needs either."""
    attributes = {str(key): str(value) for key, value in given.get("attributes", {}).items()}
    data = base64.b64decode(given.get("data", ""), validate=True).decode()
    if not attributes and not data:
        raise ValueError("a message has neither data nor attributes")
    return attributes, data
