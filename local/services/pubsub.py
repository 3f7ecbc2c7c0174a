"""Pub/Sub: topics, and the delivery of what is published to those who listen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from local import iam
from local.provider.kinds import Json, Kind
from local.services.world import World, unique_number

TOPIC = "gcp:pubsub/topic:Topic"


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
        now = self._world.timestamp()
        number = unique_number(topic, now, *attributes.values())[:16]
        for listener in self._listeners:
            listener(topic, Message(number, attributes, data, now))
