"""The watcher's two calls on the wire, against a double that answers as it is told."""

import base64
import json
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from unittest import mock

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError

from app import rollout
from app.rollout import Rollout, RolloutError

REPOSITORY = "projects/p/locations/europe-west4/repositories/prod-bots"
TOPIC = "projects/p/topics/prod-rollout"
TAG = f"/v1/{REPOSITORY}/packages/keeper/tags/live"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Google:
    """Stands in for both APIs: gives out the answers it was told, and remembers what was asked."""

    def __init__(self) -> None:
        self.answers: deque[tuple[int, Any]] = deque()
        self.asked: list[tuple[str, str, Any]] = []
        google = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                google.asked.append((self.command, self.path, json.loads(body or "null")))
                status, document = google.answers.popleft()
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        self._thread = Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    double = Google()
    for name in ("ARTIFACTREGISTRY", "PUBSUB"):
        monkeypatch.setenv(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}", double.url)
    monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "p"))
    # Without waiting between two tries.
    monkeypatch.setattr(rollout, "_RETRIES", rollout._RETRIES.new(backoff_factor=0))
    yield double
    double.close()


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
    with pytest.raises(RolloutError, match=r"tags/live cannot be read: 403 watcher lacks artifact"):
        watched.version("keeper", "live")
    with pytest.raises(RolloutError, match=r"published to projects/p/topics/prod-rollout: 403"):
        watched.announce("models", "rollout/live/keeper.json", 7, NOON)


def test_no_answer_is_one_line(watched: Rollout, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody listens on the port for discarding.
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY", "http://127.0.0.1:9")
    with pytest.raises(RolloutError, match="no good answer") as caught:
        watched.version("keeper", "live")
    assert "\n" not in str(caught.value)


def test_without_credentials_it_says_so() -> None:
    with (
        mock.patch.object(google.auth, "default", side_effect=DefaultCredentialsError("none")),
        pytest.raises(RolloutError, match="no Google credentials"),
    ):
        Rollout(REPOSITORY, TOPIC)
