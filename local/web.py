"""HTTP as the local servers speak it: requests, responses, and connections that are kept open."""

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any, NoReturn

from pipeline.errors import UserError


class Body:
    """The body of a request, read from the connection as it is asked for."""

    def __init__(self, stream: BufferedIOBase, length: int) -> None:
        self._stream = stream
        self._left = length

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return self._left

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; without it, all that is left.

        Raises ConnectionAbortedError if the client goes before it has sent them.
        """
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._stream.read(wanted)
        if len(data) < wanted:
            raise ConnectionAbortedError
        self._left -= wanted
        return data


@dataclass(frozen=True)
class Request:
    """One request; `path` and `query` are still encoded, `base` is how the caller addressed us."""

    method: str
    path: str
    query: str
    headers: Message  # found whatever their case
    base: str
    body: Body


@dataclass(frozen=True)
class Response:
    """One answer; a body in parts is sent as it comes, and needs no length."""

    status: int
    body: bytes | Iterable[bytes] = b""
    headers: Sequence[tuple[str, str]] = ()

    @staticmethod
    def json(status: int, value: Any, headers: Sequence[tuple[str, str]] = ()) -> "Response":
        """An answer in JSON."""
        kind = ("Content-Type", "application/json; charset=utf-8")
        return Response(status, json.dumps(value).encode(), [kind, *headers])


class Server(ThreadingHTTPServer):
    """A server on a port of this machine (0: any that is free), with a thread per connection."""

    request_queue_size = 256  # many programs start at once
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, connection: "type[Connection]") -> None:
        try:
            super().__init__(("127.0.0.1", port), connection)
        except OSError as error:
            raise UserError(
                f"port {port} is taken: end what listens there, or choose another"
            ) from error
        self.port: int = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._open: set[Any] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more, and end the connections that clients keep open."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection while it lasts."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._open.discard(request)
        super().shutdown_request(request)


class Connection(BaseHTTPRequestHandler):
    """One connection, over which many requests may come; `serve` answers one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout = 600

    def serve(self, request: Request) -> Response | None:
        """The answer to a request; None where it was sent already."""
        raise NotImplementedError

    def handle_request(self) -> None:
        """Read one request and answer it; a client that has gone is no error."""
        path, _, query = self.path.partition("?")
        body = Body(self.rfile, int(self.headers.get("Content-Length") or 0))
        base = f"http://{self.headers.get('Host', '')}"
        try:
            if "Transfer-Encoding" in self.headers:
                self.close_connection = True
                response = Response(411, b"a request's body needs a Content-Length\n")
            else:
                response = self.serve(Request(self.command, path, query, self.headers, base, body))
            # A client that is still sending would see a reset in place of the answer.
            body.read()
            if response is not None:
                self.send(response)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request  # noqa: N815

    def send(self, response: Response) -> None:
        """Send an answer; a body in parts without a length goes out in chunks."""
        has_body = self.command != "HEAD" and response.status not in (204, 304)
        whole = isinstance(response.body, bytes)
        length = any(key.lower() == "content-length" for key, _ in response.headers)
        chunked = has_body and not whole and not length
        self.send_response_only(response.status)
        for key, value in response.headers:
            self.send_header(key, value)
        if isinstance(response.body, bytes) and has_body:
            self.send_header("Content-Length", str(len(response.body)))
        elif chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if not has_body:
            return
        for part in [response.body] if isinstance(response.body, bytes) else response.body:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            self.wfile.flush()
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def cut(self) -> NoReturn:
        """End the connection so that the client sees a reset."""
        # Without a linger time of 0 the client would see an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        raise ConnectionAbortedError

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: programs' requests are not news."""
