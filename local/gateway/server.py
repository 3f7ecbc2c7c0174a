"""HTTP on a port of this machine: requests, responses, and a server that runs handlers on threads.

Starlette and uvicorn do the work. Handlers are plain functions, because the services behind them
wait for processes and files.
"""

import asyncio
import json
import math
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio.from_thread
import anyio.to_thread
import uvicorn
from starlette.datastructures import Headers
from starlette.responses import Response as FixedResponse
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.errors import UserError

_BACKLOG = 256  # many programs start at once
_OUR_HOSTS = {"127.0.0.1", "::1", "localhost"}


class ErrorResponse(Exception):
    """Raised by a handler: `response` is sent."""

    def __init__(self, response: "Response", message: str) -> None:
        super().__init__(message)
        self.response = response


class ConnectionCut(Exception):
    """Raised by a handler: the client sees its connection reset."""


class NoResponse(Exception):
    """Raised by a handler: the client waits until it gives up."""


class ClientGone(Exception):
    """The client closed its connection before it had sent the whole body."""


class Body:
    """The body of a request, which a handler reads from its thread while it arrives."""

    def __init__(self, receive: Receive, first: Message) -> None:
        self._receive = receive
        self._buffer = bytearray()
        self._more = True
        self._take(first)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all that is left without it; raises ClientGone."""
        self._fill(size)
        data = bytes(self._buffer if size < 0 else self._buffer[:size])
        del self._buffer[: len(data)]
        return data

    def peek(self) -> bytes:
        """Everything that is left, which can be read again; raises ClientGone."""
        self._fill(-1)
        return bytes(self._buffer)

    async def drain(self) -> None:
        """Receive and drop the rest; raises ClientGone."""
        while self._more:
            await self._receive_more()
            self._buffer.clear()

    def _fill(self, size: int) -> None:
        while self._more and (size < 0 or len(self._buffer) < size):
            anyio.from_thread.run(self._receive_more)

    async def _receive_more(self) -> None:
        self._take(await self._receive())

    def _take(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._buffer += message["body"]
        self._more = message["more_body"]


@dataclass(frozen=True)
class Request:
    """One request; `path` and `query` are still encoded, `base` is how the client addressed us."""

    method: str
    path: str
    query: str
    headers: Headers
    base: str
    body: Body


@dataclass(frozen=True)
class Response:
    """One response; a body in parts is sent part by part as it is made."""

    status: int
    body: bytes | Iterable[bytes] = b""
    headers: Sequence[tuple[str, str]] = ()

    @staticmethod
    def json(status: int, value: Any, headers: Sequence[tuple[str, str]] = ()) -> "Response":
        """A response in JSON."""
        kind = ("Content-Type", "application/json; charset=utf-8")
        return Response(status, json.dumps(value).encode(), [kind, *headers])


Handler = Callable[[Request], Response]
"""Responds on a thread of its own; may raise ErrorResponse, ConnectionCut or NoResponse."""


def _refusal(headers: Headers) -> str:
    """Why a request is not meant for a server of this machine; empty if it is.

    A web page can send a browser here under a name of the page's own (DNS rebinding) or under ours.
    The first shows in the Host header, the second in Origin.
    """
    hosts = [f"//{host}" for host in headers.getlist("Host")]
    for address in hosts + headers.getlist("Origin"):
        try:
            host = urlsplit(address).hostname
        except ValueError:
            host = None
        if host not in _OUR_HOSTS:
            return f"{address} is foreign: this address answers as {', '.join(sorted(_OUR_HOSTS))}"
    return ""


class Server:
    """Serves a handler on a port of this machine (0: any free one), from a thread of its own."""

    def __init__(self, port: int, handler: Handler) -> None:
        # asyncio turns Nagle's algorithm off only for sockets that name their protocol.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
            self._socket.listen(_BACKLOG)
        except OSError as error:
            self._socket.close()
            raise UserError(
                f"port {port} is taken: end what listens there, or choose another"
            ) from error
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._handler = handler
        self._uvicorn = _Uvicorn(self._app)
        self._thread = threading.Thread(
            target=self._uvicorn.run, args=([self._socket],), daemon=True
        )

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()
        self._uvicorn.ready.wait()

    def stop(self) -> None:
        """Serve no more, and close the connections that clients keep open."""
        if self._thread.is_alive():
            self._uvicorn.stop()
            self._thread.join()
        self._socket.close()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._respond(scope, receive)
        except ConnectionCut:
            _reset(scope["state"]["transport"])
        except NoResponse:
            while (await receive())["type"] != "http.disconnect":
                pass
        except ClientGone:
            pass
        else:
            await response(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive) -> FixedResponse:
        headers = Headers(scope=scope)
        body = Body(receive, await receive())
        request = Request(
            method=scope["method"],
            path=scope["raw_path"].decode(),
            query=scope["query_string"].decode(),
            headers=headers,
            base=f"http://{headers.get('Host', '')}",
            body=body,
        )
        if reason := _refusal(headers):
            response = Response(403, f"{reason}\n".encode())
        else:
            try:
                response = await anyio.to_thread.run_sync(
                    self._handler, request, abandon_on_cancel=True
                )
            except ErrorResponse as error:
                response = error.response
        # A client that is still sending would see a reset in place of the response.
        await body.drain()
        made = (
            FixedResponse(response.body, response.status)
            if isinstance(response.body, bytes)
            else StreamingResponse(response.body, response.status)
        )
        for name, value in response.headers:
            made.headers.append(name, value)
        return made


def _reset(transport: asyncio.Transport) -> None:
    # Without a linger time of 0 the client would see an orderly end.
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


class _Protocol(H11Protocol):
    """A connection whose transport the app can reset."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn declares it
        super().connection_made(transport)
        self.app_state = {"transport": transport}


class _Uvicorn(uvicorn.Server):
    """Stops at once, where uvicorn's own looks ten times a second and waits for its clients."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Any]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                backlog=_BACKLOG,
                timeout_keep_alive=600,
                log_config=None,
                log_level="error",
                proxy_headers=False,
            )
        )
        self.ready = threading.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End `run`, from another thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def main_loop(self) -> None:
        """Serve until `stop`."""
        self._loop = asyncio.get_running_loop()
        # A handler may wait for a job whose own calls need a thread each.
        anyio.to_thread.current_default_thread_limiter().total_tokens = math.inf
        self.ready.set()
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all that is open."""
        # asyncio loses a connection that it has accepted but not yet handed over when the server
        # closes (CPython 3.11). Handing over takes up to three turns of the loop.
        for listener in sockets or ():
            self._loop.remove_reader(listener)
        for _ in range(3):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
