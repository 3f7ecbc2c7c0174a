"""HTTP as the local servers speak it: requests, responses, and connections that are kept open."""

import contextlib
import email
import json
import socket
import struct
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any, NoReturn
from urllib.parse import urlsplit

from pipeline.errors import UserError

_OURS = {"127.0.0.1", "::1", "localhost"}


def refused(headers: Message) -> str:
    """Why a request is not for a server of this machine; empty where it is.

    A page of the web can send a browser here, under a name of its own (DNS rebinding) or under
    ours. The first shows in the request's Host, the second in its Origin.
    """
    for name in ("Host", "Origin"):
        values = headers.get_all(name, [])
        if len(values) > 1 or (name == "Host" and not values):
            return f"a request needs one {name} header, and this one has {len(values)}"
        address = values[0] if values and name == "Origin" else f"//{values[0]}" if values else ""
        try:
            host = urlsplit(address).hostname
        except ValueError:
            host = None
        if values and host not in _OURS:
            return f"{name} is {values[0]!r}: this address answers as {', '.join(sorted(_OURS))}"
    return ""


def strict_json(data: bytes) -> Any:
    """What JSON says; ValueError where it says a thing twice, as other readers take either."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            raise ValueError(f"a key is given twice: {', '.join(key for key, _ in pairs)}")
        return made

    return json.loads(data, object_pairs_hook=once)


def related(content_type: str, body: bytes) -> tuple[bytes, str, bytes]:
    """Metadata, media type and media of a multipart/related upload; ValueError if it is none.

    Source: https://cloud.google.com/storage/docs/uploading-objects#rest-upload-objects
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/related" or not boundary:
        raise ValueError(f"{content_type!r} is not multipart/related with a boundary")
    before, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if before or len(parts) != 3 or not parts[2].startswith(b"--"):
        raise ValueError("a multipart upload has two parts: the metadata, and the media")
    (_, metadata), (head, media) = (_part(part) for part in parts[:2])
    return metadata, email.message_from_bytes(head).get_content_type(), media


def _part(part: bytes) -> tuple[bytes, bytes]:
    head, separator, content = part.partition(b"\r\n\r\n")
    if not separator:
        raise ValueError("a part of a multipart upload has no empty line after its headers")
    return head.lstrip(), content


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

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that is gone; all else is a defect, and told whole."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

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
            if reason := refused(self.headers):
                response = Response(403, f"{reason}\n".encode())
            elif "Transfer-Encoding" in self.headers:
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
