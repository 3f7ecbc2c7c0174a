"""The watcher's messages on the wire."""

# pyright: reportPrivateUsage=false

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from control_image.rollout import Rollout
from pipeline.errors import UserError
from tests.google_api import Google

TOPIC = "projects/p/topics/prod-rollout"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def rollout(api: Google) -> Iterator[Rollout]:
    made = Rollout(TOPIC)
    yield made
    made._session.close()


def test_a_request_is_repeated_while_the_api_is_busy(api: Google, rollout: Rollout) -> None:
    api.answers += [(503, {}), (429, {}), (200, {"messageIds": ["1"]})]
    rollout.announce("models", "rollout/live/keeper.json", 7, NOON)


def test_the_event_is_what_cloud_storage_sends(api: Google, rollout: Rollout) -> None:
    api.answers.append((200, {"messageIds": ["1"]}))
    rollout.announce("models", "rollout/live/keeper.json", 7, NOON)
    ((method, path, body),) = api.asked
    assert (method, path) == ("POST", f"/v1/{TOPIC}:publish")
    (message,) = body["messages"]
    assert message["attributes"] == {
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "bucketId": "models",
        "objectId": "rollout/live/keeper.json",
        "objectGeneration": "7",
        "eventTime": "2026-11-23T12:00:00+00:00",
    }
    assert json.loads(base64.b64decode(message["data"]))["name"] == "rollout/live/keeper.json"


def test_a_refusal_is_one_line_with_googles_reason(api: Google, rollout: Rollout) -> None:
    api.answers.append((403, {"error": {"message": "watcher lacks\npubsub.topics.publish"}}))
    with pytest.raises(UserError, match=r"topics/prod-rollout: 403 watcher lacks pubsub"):
        rollout.announce("models", "rollout/live/keeper.json", 7, NOON)
    api.answers.append((403, {}))
    with pytest.raises(UserError, match=r"published to projects/p/topics/prod-rollout: 403"):
        rollout.keep_alive()
