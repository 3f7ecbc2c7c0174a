"""The tweet API of one account: `GET /` and `POST /` respond with `{"text": …}`.

Parameters and response are those of gpt-2-cloud-run: prefix, length, temperature, top_k and top_p,
in the query of a GET or the JSON of a POST. There are three differences:

- Each parameter has a range. A value outside it is an error, and so is an unknown name.
- Texts pass the filters of posts.
- The model is that of the live release in the models bucket.
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

MOST_PREFIX = MAX_TOKENS // 2
"""The most tokens of a prefix. The text that follows it has room for as many."""
MOST_BYTES = 16 * 1024
"""The largest body that a request may have."""

_METHODS = {"/": ("GET", "POST"), "/health": ("GET",)}
# The composer draws this number of texts at a time, and chooses one.
_TEXTS = 8
_TIMEOUT = 5
"""Seconds that a client may send nothing. Cloud Run sends SIGKILL ten seconds after SIGTERM."""
_BACKLOG = 128


class Parameters(BaseModel):
    """The parameters of a request. A field's description is its range, as errors state it."""

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
        prefix.encode()  # raises ValueError for half a surrogate pair, which JSON can contain
        return prefix

    @model_validator(mode="before")
    @classmethod
    def _no_truth_values(cls, values: dict[str, Any]) -> dict[str, Any]:
        # Pydantic would accept true as 1. It accepts no list.
        return {k: [v] if isinstance(v, bool) else v for k, v in values.items()}

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Parameters":
        """Check parameters; HTTPException names the first wrong one, its value and its range."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
        field = cls.model_fields.get(name)
        if field is None:
            known = ", ".join(cls.model_fields)
            raise HTTPException(
                400, f"{_shown(name)}: unknown parameter; the parameters are {known}"
            )
        raise HTTPException(400, f"{name}: {_shown(values[name])} is not {field.description}")

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
    """A value as JSON, cut to 80 characters."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def compose(live: Release, parameters: Parameters) -> str:
    """Write a text; raises HTTPException if no text of the release passes the filters.

    A text that was cut off passes if the request limits the length.
    """
    tokens = live.model.tokens(parameters.prefix)
    if tokens > MOST_PREFIX:
        limit = Parameters.model_fields["prefix"].description
        raise HTTPException(
            400, f"prefix: {_shown(parameters.prefix)} has {tokens} tokens and is not {limit}"
        )
    objection = live.objections.first(parameters.prefix, ())
    # A prefix that is copied from the corpus may still become a text of its own.
    if objection not in (None, "empty", "copy of the corpus"):
        raise HTTPException(
            400, f"prefix: {_shown(parameters.prefix)}: no text may begin with it ({objection})"
        )
    composer = Composer(
        partial(live.model.candidates, parameters.sampling),
        live.objections,
        unfinished=parameters.length < MAX_TOKENS,
    )
    try:
        return composer.compose(())
    except NothingFit as error:
        reason = str(error).replace("posted", "given out")
        raise HTTPException(422, f"{reason}; try another prefix or a higher temperature") from None


class Server:
    """Serves the tweet API, and writes one text at a time."""

    def __init__(self, port: int, live: Live, address: str = "") -> None:
        """Listen on a port of an address, or of all addresses if it is empty; raises UserError."""
        self.live = live
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((address, port))
        except OSError as error:
            self._socket.close()
            raise UserError(
                f"PORT is {port}, where nothing can listen ({error.strerror}); set another port"
            ) from None
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
                log_level="critical",  # Cloud Run logs requests, and `_app` logs failures
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
        except Exception:  # noqa: BLE001 - any failure becomes a response and a log entry
            log("ERROR", traceback.format_exc())
            response = _json(500, {"error": "internal error: see the log"})
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> dict[str, Any]:
        """Return the body of the response; raises HTTPException for a mistake in the request."""
        body = await _body(request)
        path, method = request.scope["path"], request.method
        allowed = _METHODS.get(path)
        if allowed is None:
            raise HTTPException(404, f"{_shown(path)}: unknown path; the paths are / and /health")
        if method not in allowed:
            reason = f"{method} is not allowed here; {' and '.join(allowed)} are"
            raise HTTPException(405, reason, {"Allow": ", ".join(allowed)})
        if path == "/health":
            return {"status": "ok", "release": self.live.tag}
        values = _from_query(request) if method == "GET" else _from_json(request, body)
        parameters = Parameters.of(values)
        text = await anyio.to_thread.run_sync(self._text, parameters, limiter=self._one_text)
        return {"text": text}

    def _text(self, parameters: Parameters) -> str:
        return compose(self.live.current(), parameters)


class _Protocol(H11Protocol):
    """uvicorn's connection. It refuses in JSON, and closes if the client sends nothing."""

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
    # Otherwise Cloud Run's proxy might send the next request on a connection that is closing.
    close = {"Connection": "close"}
    return Response(data, status, {**close, **(headers or {})}, "application/json")


async def _body(request: Request) -> bytes:
    """Read the body. Drain one that is too large: else the client sees a reset, not the 413."""
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
        values: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise HTTPException(400, 'the body is not a JSON object, such as {"prefix": "The sea"}')
    return values  # pyright: ignore[reportUnknownVariableType]


def _from_query(request: Request) -> dict[str, Any]:
    query = request.scope["query_string"].decode()
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise HTTPException(400, f"the query cannot be parsed: {error}") from None
    values = dict(pairs)
    if len(values) < len(pairs):
        raise HTTPException(400, "the query has a parameter twice; once is enough")
    return values


def run(server: Server) -> int:
    """Load the live release, serve until SIGTERM or SIGINT, finish what is under way, return 0."""
    interrupt.listen()
    try:
        try:
            server.live.current()
        except NoRelease as reason:
            log("INFO", str(reason))
        log("INFO", f"listening on port {server.port}")
        # uvicorn handles both signals while it serves, and raises them again afterwards.
        server.run()
    except interrupt.Interrupted:
        pass
    return 0
