"""A double of Google's REST APIs that answers as it is told, within their documents."""

import json
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

import google.auth
import pytest
import requests
from google.auth.credentials import Credentials

from local.gateway import discovery


def authenticate(monkeypatch: pytest.MonkeyPatch, credentials: Credentials, project: str) -> None:
    """Lets Google's libraries find these credentials in this process."""

    def default(*_: object, **__: object) -> tuple[Credentials, str]:
        return credentials, project

    monkeypatch.setattr(google.auth, "default", default)


def check(verb: str, target: str, body: bytes, status: int, response: bytes) -> None:
    """For doubles of Google's APIs: report how a call and its response, both JSON, do not fit."""
    path, _, query = target.partition("?")
    method = discovery.find(verb, path)
    if method is None:
        discovery.report([f"no API of Google's has {verb} {path}"])
        return
    discovery.report(method.request(query, "application/json", body))
    if 200 <= status < 300:
        discovery.report(method.response(query, "application/json", response))


class Session:
    """In place of a session of requests: answers every request alike, and notes it."""

    def __init__(
        self, status: int = 200, body: object = None, error: Exception | None = None
    ) -> None:
        self.status, self.body, self.error = status, body, error
        self.asked: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        self.asked.append([method, url, options])
        if self.error is not None:
            raise self.error
        response = requests.Response()
        response.status_code, response.reason = self.status, "the reason"
        response._content = json.dumps(self.body).encode()  # pyright: ignore[reportPrivateUsage]
        response.headers["Content-Type"] = "application/x"
        return response


class Google:
    """Gives out the answers it was told, and remembers what was asked."""

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
                check(self.command, self.path, body, status, data)
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
