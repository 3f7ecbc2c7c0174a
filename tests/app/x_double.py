"""A double of X's endpoint for posts, over HTTP, that can fail in every way."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal["cut before", "cut after"] | tuple[int, dict[str, Any] | str]

DUPLICATE = {
    "detail": "You are not allowed to create a Tweet with duplicate content.",
    "type": "about:blank",
    "title": "Forbidden",
    "status": 403,
}


class XDouble:
    """Stands in for X in tests that decide how X responds.

    `posts` are the texts that it holds. Each of `faults` applies to one of the next requests: it
    cuts the connection before or after the effect, or responds with a status and a body. The double
    checks no signature.
    """

    def __init__(self) -> None:
        self.posts: list[str] = []
        self.faults: list[Fault] = []
        self.refuses_duplicates = True
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def id_of(self, text: str) -> str:
        return str(1000 + self.posts.index(text))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _create(self, text: str) -> tuple[int, Any]:
        if self.refuses_duplicates and text in self.posts:
            return 403, DUPLICATE
        self.posts.append(text)
        return 201, {"data": {"id": self.id_of(text), "text": text}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fault = double.faults.pop(0) if double.faults else None
                if fault == "cut before":
                    self.close_connection = True
                    return
                if isinstance(fault, tuple):
                    self._respond(*fault)
                    return
                response = double._create(body["text"])
                if fault == "cut after":
                    self.close_connection = True
                    return
                self._respond(*response)

            def _respond(self, status: int, body: Any) -> None:
                data = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        return Handler
