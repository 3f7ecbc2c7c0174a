"""The delivery of messages from publishers to listeners, and the call by which programs publish.

It cannot show ordering, redelivery, or a message that is lost.
Source: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from local.engine.handler import Json
from local.gateway import iam
from local.gateway.errors import HttpError
from local.gateway.gateway import not_implemented
from local.gateway.server import Request, Response
from local.services.context import Context, short, unique_number
from local.services.pubsub.resources import TOPIC

METHODS = ("pubsub.projects.topics.publish",)
PATH = r"/v1/(projects/[^/]+/topics/[^/:]+):publish"


@dataclass(frozen=True)
class Message:
    """A published message. `data` is text."""

    id: str
    attributes: Mapping[str, str]
    data: str
    published: str


Listener = Callable[[str, Message], None]
"""Takes the topic's full name and a message. It runs on the publisher's thread, so it is quick."""


class Messages:
    """Delivers messages to `listener`. `report` is told of one that may not be published."""

    def __init__(self, context: Context, report: Callable[[str], None], listener: Listener) -> None:
        self._context = context
        self._report = report
        self._listener = listener

    def publish(self, publisher: str, topic: str, attributes: Mapping[str, str], data: str) -> None:
        """Delivers a message if the topic exists and the account `publisher` may publish to it."""
        if self._context.resources.get(TOPIC, topic) is None:
            self._report(f"nothing can be published to {topic}: it does not exist")
            return
        try:
            self._context.policy.require(iam.member(publisher), "pubsub.topics.publish", topic)
        except iam.Denied as denied:
            self._report(f"nothing is published to {topic}: {denied}")
            return
        self._deliver(topic, attributes, data)

    def respond(self, match: re.Match[str], request: Request, member: str) -> Response:
        """Serves the call `projects.topics.publish` of a program, at `PATH`."""
        topic = match[1]
        if request.method != "POST":
            raise not_implemented(request)
        self._context.policy.require(member, "pubsub.topics.publish", topic)
        if self._context.resources.get(TOPIC, topic) is None:
            raise HttpError(404, "notFound", f"Resource not found (resource={short(topic)}).")
        try:
            messages = [_message(given) for given in json.loads(request.body.read())["messages"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HttpError(400, "badRequest", f"no list of messages: {error!r}") from error
        return Response.json(200, {"messageIds": [self._deliver(topic, *m) for m in messages]})

    def _deliver(self, topic: str, attributes: Mapping[str, str], data: str) -> str:
        now = self._context.timestamp()
        number = unique_number(topic, now, *attributes.values())[:16]
        self._listener(topic, Message(number, attributes, data, now))
        return number


def _message(given: Json) -> tuple[dict[str, str], str]:
    """Returns attributes and data of a message in REST's form. A message needs one of them."""
    attributes = {str(key): str(value) for key, value in given.get("attributes", {}).items()}
    data = base64.b64decode(given.get("data", ""), validate=True).decode()
    if not attributes and not data:
        raise ValueError("a message has neither data nor attributes")
    return attributes, data
