"""The events of objects, published as the declared notifications say.

It cannot show that Google may deliver an event late or twice, nor events other than finalize.
"""

import json
from collections.abc import Mapping
from typing import Any

from local.services.context import Context, section, short
from local.services.pubsub.messages import Messages
from local.services.pubsub.resources import topic_name
from local.services.storage.resources import NOTIFICATION


def finalized(
    context: Context,
    messages: Messages,
    attributes: Mapping[str, str],
    metadata: Mapping[str, Any],
) -> None:
    """Publishes a new generation of an object to every notification that matches."""
    for notification in context.resources.of_type(NOTIFICATION):
        inputs = notification.inputs
        if (
            short(inputs["bucket"]) == attributes["bucketId"]
            and attributes["objectId"].startswith(inputs.get("objectNamePrefix") or "")
            and attributes["eventType"] in (inputs.get("eventTypes") or [attributes["eventType"]])
        ):
            messages.publish(
                context.storage_agent,
                topic_name(inputs["topic"], context.project),
                {
                    **attributes,
                    **section(inputs, "customAttributes"),
                    "payloadFormat": inputs["payloadFormat"],
                    "notificationConfig": f"projects/_/buckets/{notification.id}",
                },
                json.dumps(metadata) if inputs["payloadFormat"] == "JSON_API_V1" else "",
            )
