"""The watcher's two calls on the wire."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from control_image.rollout import Rollout
from pipeline.google import GoogleError
from tests.google_api import Google

REPOSITORY = "projects/p/locations/europe-west4/repositories/prod-bots"
TOPIC = "projects/p/topics/prod-rollout"
TAG = f"/v1/{REPOSITORY}/packages/keeper/tags/live"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def watched(api: Google) -> Iterator[Rollout]:
    made = Rollout(REPOSITORY, TOPIC)
    yield made
    made._session.close()


def test_a_tag_means_a_version_or_nothing(api: Google, watched: Rollout) -> None:
    api.answers += [(200, {"version": "projects/…/sha256:1"}), (404, {"error": {}})]
    assert watched.version("keeper", "live") == "projects/…/sha256:1"
    assert watched.version("keeper", "live") is None
    assert [asked[:2] for asked in api.asked] == [("GET", TAG)] * 2


def test_a_passing_trouble_is_outlasted(api: Google, watched: Rollout) -> None:
    api.answers += [(503, {}), (429, {}), (200, {"version": "1"})]
    assert watched.version("keeper", "live") == "1"
    api.answers += [(503, {}), (200, {"messageIds": ["1"]})]
    watched.announce("models", "rollout/live/keeper.json", 7, NOON)


def test_the_event_is_what_cloud_storage_sends(api: Google, watched: Rollout) -> None:
    api.answers.append((200, {"messageIds": ["1"]}))
    watched.announce("models", "rollout/live/keeper.json", 7, NOON)
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


def test_a_refusal_is_one_line_with_googles_reason(api: Google, watched: Rollout) -> None:
    refusal = {"error": {"message": "watcher lacks\nartifactregistry.tags.get"}}
    api.answers += [(403, refusal), (403, {})]
    with pytest.raises(GoogleError, match=r"tags/live cannot be read: 403 watcher lacks artifact"):
        watched.version("keeper", "live")
    with pytest.raises(GoogleError, match=r"published to projects/p/topics/prod-rollout: 403"):
        watched.announce("models", "rollout/live/keeper.json", 7, NOON)
