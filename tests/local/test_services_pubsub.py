"""A program's messages to a topic, by grant."""

from typing import Any

import pytest
import requests

from local.cloud import Cloud
from local.gateway.iam import OPERATOR
from tests.conftest import Misfits
from tests.local.declaring import (
    PROJECT,
    TOPIC,
    TOPIC_GRANT,
    Declarer,
)

PUBLISH = f"v1/projects/{PROJECT}/topics/rollout:publish"
MESSAGE = {"messages": [{"attributes": {"eventType": "OBJECT_FINALIZE"}, "data": "e30="}]}


def call(cloud: Cloud, method: str, path: str, email: str, body: Any = None) -> requests.Response:
    token = cloud.gateway.token(email)
    return requests.request(
        method,
        f"{cloud.gateway.url}/{path}",
        headers={"Authorization": f"Bearer {token}"},
        json=body,
        timeout=30,
    )


@pytest.fixture
def watcher(declarer: Declarer) -> dict[str, Any]:
    """An account without a grant, and a topic."""
    declarer.declare(TOPIC, "rollout", name="rollout")
    return declarer.account("watcher")


def test_a_message_of_an_account_that_may_publish_reaches_the_listeners(
    cloud: Cloud, declarer: Declarer, watcher: dict[str, Any]
) -> None:
    refused = call(cloud, "POST", PUBLISH, watcher["email"], MESSAGE)
    assert refused.status_code == 403
    assert "roles/pubsub.publisher would grant it" in refused.json()["error"]["message"]
    declarer.declare(
        TOPIC_GRANT,
        "watcher",
        topic="rollout",
        role="roles/pubsub.publisher",
        member=watcher["member"],
    )
    sent = call(cloud, "POST", PUBLISH, watcher["email"], MESSAGE)
    assert len(sent.json()["messageIds"]) == 1


def test_a_malformed_message_is_refused(
    cloud: Cloud, watcher: dict[str, Any], misfits: Misfits
) -> None:
    malformed: list[tuple[Any, int]] = [
        (None, 0),
        ({}, 0),
        ({"messages": [{}]}, 0),
        ({"messages": [{"data": "not base64"}]}, 1),
        ({"messages": "text"}, 1),
        ({"messages": [{"attributes": "text"}]}, 1),
    ]
    for body, expected in malformed:
        assert call(cloud, "POST", PUBLISH, OPERATOR, body).status_code == 400, body
        assert len(misfits.take()) == expected, body


def test_a_topic_that_is_not_declared_is_not_found(cloud: Cloud, watcher: dict[str, Any]) -> None:
    path = PUBLISH.replace("rollout", "other")
    assert call(cloud, "POST", path, OPERATOR, MESSAGE).status_code == 404
