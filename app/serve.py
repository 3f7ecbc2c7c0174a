"""The tweet API of one account: `GET /` and `POST /` respond with `{"text": …}`.

Parameters and response are those of gpt-2-cloud-run: prefix, length, temperature, top_k and top_p,
in the query of a GET or the JSON of a POST. There are three differences. Each parameter has a
range, and a value outside it or an unknown name is an error. Texts pass the filters of posts. The
model is that of the live release in the models bucket.
"""

import asyncio
import json
import socket
import traceback
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
import h11
import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.compose import Composer, NothingFit
from app.live import Live, NoRelease, Release
from pipeline import interrupt
from pipeline.errors import UserError
from pipeline.generation import MAX_TOKENS, POSTS, Sampling
from pipeline.log import log

# A prefix leaves at least as many tokens for the text that continues it.
MOST_PREFIX = MAX_TOKENS // 2
MOST_BYTES = 16 * 1024
"""The largest body that a request may have."""

_METHODS = {"/": ("GET", "POST"), "/health": ("GET",)}
# The composer asks the model for so many texts at each try, and chooses one.
_TEXTS = 8
_TIMEOUT = 5
"""Seconds that a client may send nothing: Run leaves ten between SIGTERM and SIGKILL."""
_BACKLOG = 128


class Parameters(BaseModel):
    """The parameters of a request; a field's description is its range, which errors state."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    prefix: str = Field(default="", description=f"a text of at most {MOST_PREFIX} tokens")
    length: int = Field(
        default=MAX_TOKENS, ge=1, le=MAX_TOKENS, description=f"a whole number, 1 to {MAX_TOKENS}"
    )
    temperature: float = Field(
        default=POSTS.temperature, ge=0.1, le=2, description="a number, 0.1 to 2"
    )
    top_k: int = Field(
        default=POSTS.top_k, ge=0, le=1000, description="a whole number, 0 (all tokens) to 1000"
    )
    top_p: float = Field(default=0, ge=0, le=1, description="a number, 0 (all tokens) to 1")

    @field_validator("prefix")
    @classmethod
    def _is_unicode(cls, prefix: str) -> str:
        prefix.encode()  # half a surrogate pair, which JSON can spell, is a ValueError
        return prefix

    @model_validator(mode="before")
    @classmethod
    def _no_truth_values(cls, given: dict[str, Any]) -> dict[str, Any]:
        # Pydantic would accept true as 1.
        return {k: [v] if isinstance(v, bool) else v for k, v in given.items()}

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Parameters":
        """Checks parameters; HTTPException names the first wrong one, its value and the range."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
        field = cls.model_fields.get(name)
        if field is None:
            known = ", ".join(cls.model_fields)
            raise HTTPException(400, f"{_shown(name)}: unknown parameter; there are {known}")
        raise HTTPException(400, f"{name}: {_shown(given[name])} is not {field.description}")

    @property
    def sampling(self) -> Sampling:
        """How the model draws texts."""
        return Sampling(
            prefix=self.prefix,
            length=self.length,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p or 1.0,
            texts=_TEXTS,
        )


def _shown(value: object) -> str:
    """A value as an error shows it: JSON of at most one line."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def compose(live: Release, asked: Parameters) -> str:
    """Writes a text; raises HTTPException if the release writes none that passes the filters.

    A text that was cut passes if the request asked for less than a whole one.
    """
    tokens = live.model.tokens(asked.prefix)
    if tokens > MOST_PREFIX:
        what = Parameters.model_fields["prefix"].description
        raise HTTPException(
            400, f"prefix: {_shown(asked.prefix)} has {tokens} tokens and is not {what}"
        )
    objection = live.objections.first(asked.prefix, ())
    # A prefix that is copied from the corpus may still become a text of its own.
    if objection not in (None, "empty", "copy of the corpus"):
        raise HTTPException(
            400, f"prefix: {_shown(asked.prefix)}: no text may begin with it ({objection})"
        )
    composer = Composer(
        partial(live.model.candidates, asked.sampling),
        live.objections,
        unfinished=asked.length < MAX_TOKENS,
    )
    try:
        return composer.compose(())
    except NothingFit as error:
        reason = str(error).replace("posted", "given out")
        raise HTTPException(422, f"{reason}; try another prefix or a higher temperature") from None


class Server:
    """Serves the tweet API, and writes one text at a time."""

    def __init__(self, port: int, live: Live, address: str = "") -> None:
        """Listen on a port of an address, empty for all, as Run wants it; raises UserError."""
        self.live = live
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((address, port))
        except OSError as error:
            self._socket.close()
            raise UserError(f"PORT {port} cannot be listened on: {error.strerror}") from None
        self._socket.listen(_BACKLOG)
        self.port: int = self._socket.getsockname()[1]
        self._one_text = anyio.CapacityLimiter(1)
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                self._app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                backlog=_BACKLOG,
                timeout_keep_alive=_TIMEOUT,
                log_config=None,
                log_level="critical",  # Run logs the requests, and `_app` logs what fails
                proxy_headers=False,
                server_header=False,
            )
        )

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop`, then finish the requests under way."""
        self._uvicorn.run([self._socket])

    def stop(self) -> None:
        """End `run`, from another thread."""
        self._uvicorn.should_exit = True

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = _json(200, await self._respond(Request(scope, receive)))
        except HTTPException as error:
            response = _json(error.status_code, {"error": error.detail}, error.headers)
        except NoRelease as reason:
            response = _json(503, {"error": str(reason)})
        except ClientDisconnect:
            return
        except Exception:  # noqa: BLE001 - whatever it is, the client and the log are told
            log("ERROR", traceback.format_exc())
            response = _json(500, {"error": "internal error: see the log"})
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> dict[str, Any]:
        """The body of the response; raises HTTPException for every mistake in the request."""
        body = await _body(request)
        path, method = request.scope["path"], request.method
        allowed = _METHODS.get(path)
        if allowed is None:
            raise HTTPException(404, f"{_shown(path)}: there is / and /health")
        if method not in allowed:
            reason = f"{method} is not allowed here; {' and '.join(allowed)} are"
            raise HTTPException(405, reason, {"Allow": ", ".join(allowed)})
        if path == "/health":
            return {"status": "ok", "release": self.live.tag}
        given = _from_query(request) if method == "GET" else _from_json(request, body)
        asked = Parameters.of(given)
        return {"text": await anyio.to_thread.run_sync(self._text, asked, limiter=self._one_text)}

    def _text(self, asked: Parameters) -> str:
        return compose(self.live.current(), asked)


class _Protocol(H11Protocol):
    """uvicorn's connection, but it refuses in JSON and gives up a client that sends nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn declares it
        super().connection_made(transport)
        self._wait_for_data()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None:  # pyright: ignore[reportUnnecessaryComparison] - None until a request is whole
            self._wait_for_data()

    def _wait_for_data(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def send_400_response(self, msg: str) -> None:
        body = json.dumps({"error": msg}).encode() + b"\n"
        headers = [("Content-Type", "application/json"), ("Connection", "close")]
        for event in (
            h11.Response(status_code=400, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _json(status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    data = json.dumps(body, ensure_ascii=False).encode(errors="replace") + b"\n"
    # Without it, Run's proxy might send the next request into a connection that is closing.
    closes = {"Connection": "close"}
    return Response(data, status, {**closes, **(headers or {})}, "application/json")


async def _body(request: Request) -> bytes:
    """Reads the body. Drains one that is too large: else the client sees a reset, not the 413."""
    if "Transfer-Encoding" in request.headers:
        raise HTTPException(411, "the body's length is missing: send a Content-Length")
    length = int(request.headers.get("Content-Length", "0"))
    body = b""
    more = True
    while more:
        try:
            message = await asyncio.wait_for(request.receive(), _TIMEOUT)
        except TimeoutError:
            raise HTTPException(408, f"the body stopped coming for {_TIMEOUT} s") from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message["more_body"]
        if length <= MOST_BYTES:
            body += message["body"]
    if length > MOST_BYTES:
        raise HTTPException(413, f"the body has {length} bytes; at most {MOST_BYTES} are taken")
    return body


def _from_json(request: Request, body: bytes) -> dict[str, Any]:
    kind = request.headers.get("Content-Type", "none").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, f"Content-Type: {_shown(kind)} is not application/json")
    try:
        given: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise HTTPException(400, 'the body is not a JSON object, such as {"prefix": "The sea"}')
    return given  # pyright: ignore[reportUnknownVariableType]


def _from_query(request: Request) -> dict[str, Any]:
    query = request.scope["query_string"].decode()
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise HTTPException(400, f"the query is not one: {error}") from None
    given = dict(pairs)
    if len(given) < len(pairs):
        raise HTTPException(400, "a parameter is given twice")
    return given


def run(server: Server) -> int:
    """Load the live release, serve until SIGTERM or SIGINT, finish what is under way, return 0."""
    interrupt.listen()
    try:
        server.live.current()
    except NoRelease as reason:
        log("INFO", str(reason))
    except interrupt.Interrupted:
        return 0
    log("INFO", f"listening on port {server.port}")
    # uvicorn handles both signals while it serves, and raises them again afterwards.
    interrupt.ignore()
    server.run()
    return 0
