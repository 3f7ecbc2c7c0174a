"""What the registry holds of an account, and the event that has its image built again."""

import base64
import json
from datetime import datetime

from pipeline import google
from pipeline.google import GoogleError


class Rollout:
    """A stack's image repository and rollout topic, by their full names, as its watcher sees them.

    Sources: https://cloud.google.com/artifact-registry/docs/reference/rest
    (projects.locations.repositories.packages.tags.get) and
    https://cloud.google.com/pubsub/docs/reference/rest (projects.topics.publish).
    """

    def __init__(self, repository: str, topic: str) -> None:
        self._repository = repository
        self._topic = topic
        # A message that comes twice has one image built twice, no more.
        self._session = google.session(repeat_posts=True)

    def version(self, account: str, tag: str) -> str | None:
        """The version of the account's image that a tag means; None where there is no such tag."""
        name = f"{self._repository}/packages/{account}/tags/{tag}"
        answer = google.ask(self._session, "GET", "artifactregistry", name)
        if answer.status_code == 404:
            return None
        if not answer.ok:
            raise GoogleError(f"{name} cannot be read: {google.refusal(answer)}")
        return str(answer.json()["version"])

    def announce(self, bucket: str, name: str, generation: int, at: datetime) -> None:
        """Publish what Cloud Storage publishes when that generation of an object is written.

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
        message = {"attributes": attributes, "data": data}
        call, body = f"{self._topic}:publish", {"messages": [message]}
        answer = google.ask(self._session, "POST", "pubsub", call, body)
        if not answer.ok:
            raise GoogleError(
                f"nothing can be published to {self._topic}: {google.refusal(answer)}"
            )
