"""A stack on which nothing happens for 40 days, with and without its watcher."""

# pyright: reportPrivateUsage=false

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud import storage
from google.oauth2.credentials import Credentials

from control_image.registry import Registry
from control_image.rollout import Rollout
from control_image.watch import Watcher
from local.cloud import Cloud
from local.gateway.iam import OPERATOR
from pipeline import events, layout, release
from pipeline.store import Store
from stacks import alerts
from tests.google_api import authenticate
from tests.local.declaring import PROJECT, REGISTRY, Declarer
from tests.local.test_services_build import builds, pipeline

TAG = "20261123T101500Z-1a2b3c4d"
DAY = timedelta(days=1)


class Stack:
    """Buckets, topic and trigger of a local cloud, one account, and the watcher's own code."""

    def __init__(
        self, cloud: Cloud, capsys: pytest.CaptureFixture[str], token: Credentials
    ) -> None:
        self.cloud = cloud
        self._capsys = capsys
        client: Any = storage.Client(
            project=PROJECT, credentials=token, client_options={"api_endpoint": cloud.gateway.url}
        )
        self.data, self.models = (
            Store(client.bucket(name), timeout=5) for name in ("data", "models")
        )
        self.topic = Rollout(f"projects/{PROJECT}/topics/rollout")
        self.registry = Registry(REGISTRY)

    def wait(self, time: timedelta) -> None:
        self.cloud.clock.advance_to(self.cloud.clock.now() + time)

    def look(self) -> list[dict[str, Any]]:
        """Let the watcher look; what it says that an alert may listen for."""
        self._capsys.readouterr()
        watcher = Watcher(self.data, self.models, self.registry, self.topic, self.cloud.clock.now)
        assert watcher.run() == 0
        lines = map(json.loads, self._capsys.readouterr().out.splitlines())
        return [line for line in lines if "event" in line]

    def release(self) -> None:
        """A first release becomes live."""
        release.move_live(self.models, "keeper", TAG, "test", 0, datetime.now(UTC))

    def close(self) -> None:
        self.topic._session.close()
        self.registry._session.close()


@pytest.fixture
def stack(
    cloud: Cloud,
    declarer: Declarer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Stack]:
    pipeline(declarer)
    declarer.bucket("data")
    declarer.image("app", "print(1)")
    token = Credentials(cloud.gateway.token(OPERATOR))
    authenticate(monkeypatch, token, PROJECT)
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB", cloud.gateway.url)
    monkeypatch.setenv("REGISTRY_ENDPOINT_OVERRIDE", cloud.gateway.url)
    stack = Stack(cloud, capsys, token)
    base = json.dumps({"base": f"{REGISTRY}/app@sha256:{'b' * 64}"}).encode()
    stack.models.write(layout.base_pointer("keeper"), base, generation=0)
    schedules = json.dumps({"time_zone": "Etc/UTC", "collect": None, "post": None}).encode()
    stack.data.write(layout.declared("keeper"), schedules, generation=0)
    builds(cloud)
    yield stack
    stack.close()


def built(stack: Stack) -> int:
    """How many builds of a live pointer there were."""
    objects = [build.substitutions["_OBJECT"] for build in builds(stack.cloud)]
    return objects.count("rollout/live/keeper.json")


def test_a_quiet_stack_that_is_watched_builds_its_next_release(stack: Stack) -> None:
    for _ in range(40):
        stack.wait(DAY)
        stack.look()
    assert built(stack) == 0
    stack.release()
    assert built(stack) == 1


def test_without_a_build_an_alert_is_raised_within_the_hour(stack: Stack) -> None:
    """Nobody kept the trigger alive; as well, the project may not build in its region."""
    stack.wait(40 * DAY)
    stack.release()
    assert stack.look() == []
    quarters = [stack.wait(timedelta(minutes=15)) or stack.look() for _ in range(4)]
    assert quarters[:3] == [[], [], []]
    ((line,),) = quarters[3:]
    assert builds(stack.cloud) == [] or built(stack) == 0
    assert (line["event"], line["account"]) == (events.IMAGE_STALE, "keeper")
    # What the alert policy of the stack listens for.
    assert f'jsonPayload.event="{line["event"]}"' in alerts.watchers_event(
        "local", events.IMAGE_STALE
    )
    assert "its subscription expired" in stack.cloud.status()["problems"][-1]
