"""Pub/Sub topics."""

from typing import ClassVar

from local.services.handler import GoogleHandler

TOPIC = "gcp:pubsub/topic:Topic"


def topic_name(topic: str, project: str) -> str:
    """Returns a topic's full name from any form in which Google's services take it."""
    name = topic.removeprefix("//pubsub.googleapis.com/")
    return name if name.startswith("projects/") else f"projects/{project}/topics/{name}"


class Topic(GoogleHandler):
    """A topic."""

    replace_on: ClassVar = frozenset({"name", "project"})
    full_name: ClassVar = "projects/{project}/topics/{name}"
