"""Publishes to the rollout topic: events, which start a build, and keep-alive messages.

Source: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish
"""

import base64
import json
from datetime import datetime

from pipeline import google

KEEP_ALIVE = {"eventType": "KEEP_ALIVE", "objectId": "none"}
"""The attributes of a message that starts no build."""


class Rollout:
    """A stack's rollout topic, by its full name."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        # A message that arrives twice only builds an image twice.
        self._session = google.session(repeat_posts=True)

    def announce(self, bucket: str, name: str, generation: int, at: datetime) -> None:
        """Publish the message that Cloud Storage publishes when that generation is written.

        Source: https://cloud.google.com/storage/docs/pubsub-notifications#format
        """
        attributes = {
            "eventType": "OBJECT_FINALIZE",
            "payloadFormat": "JSON_API_V1",
            "bucketId": bucket,
            "objectId": name,
            "objectGeneration": str(generation),
            "eventTime": at.isoformat(),
        }
        about = {"kind": "storage#object", "bucket": bucket, "name": name, "generation": generation}
        data = base64.b64encode(json.dumps(about).encode()).decode()
        self._publish({"attributes": attributes, "data": data})

    def keep_alive(self) -> None:
        """Publish a message that the trigger receives and its filter drops.

        The trigger's subscription belongs to Cloud Build, and Pub/Sub deletes it after 31 days
        without a message (https://github.com/hashicorp/terraform-provider-google/issues/13234).
        """
        self._publish({"attributes": KEEP_ALIVE})

    def _publish(self, message: dict[str, object]) -> None:
        call, body = f"{self._topic}:publish", {"messages": [message]}
        response = google.ask(self._session, "POST", "pubsub", call, body)
        if not response.ok:
            raise google.refused(response, f"a message cannot be published to {self._topic}")
