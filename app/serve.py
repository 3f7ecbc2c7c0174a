"""The tweet API of one account: `GET /` and `POST /` answer `{"text": …}`.

Parameters and answer are those of gpt-2-cloud-run: prefix, length, temperature, top_k and top_p,
in the query of a GET or the JSON of a POST. What differs: each has a range, and a value outside it
or an unknown name is an error; texts pass the filters that posts pass; and the release is the live
one of the models bucket.
"""

import json
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from app.compose import Composer, NothingFit
from app.live import Live, NoRelease, Release
from pipeline.errors import UserError
from pipeline.generation import MAX_TOKENS, POSTS, Sampling
from pipeline.log import log

# A prefix leaves at least as many tokens for what follows.
MOST_PREFIX = MAX_TOKENS // 2
MOST_BYTES = 16 * 1024
"""The largest body that a request may have."""

# Run lets no larger request through; of one that is refused, so much is read before the answer,
# since a client that is still sending would see a reset in its place.
_DRAINED = 32 * 1024 * 1024
# Texts of which one is chosen, at each of the composer's tries.
_TEXTS = 8
# Seconds without a byte from the client, below Run's ten between SIGTERM and SIGKILL.
_PATIENCE = 5


class Refused(Exception):
    """A request that is answered with an error; its text is one line."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Parameters(BaseModel):
    """What a request may say; a field's description is its range, for the error."""

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
        # Pydantic takes true for 1.
        return {k: [v] if isinstance(v, bool) else v for k, v in given.items()}

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Parameters":
        """Raises Refused that names the first wrong parameter, its value and the range."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
        field = cls.model_fields.get(name)
        if field is None:
            known = ", ".join(cls.model_fields)
            raise Refused(400, f"{_shown(name)}: unknown parameter; there are {known}")
        raise Refused(400, f"{name}: {_shown(given[name])} is not {field.description}")

    @property
    def sampling(self) -> Sampling:
        """How the model is asked."""
        return Sampling(
            prefix=self.prefix,
            length=self.length,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p or 1.0,
            texts=_TEXTS,
        )


def _shown(value: object) -> str:
    """A value in an error: as JSON, and not longer than a line."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def compose(live: Release, asked: Parameters) -> str:
    """A text as asked for; raises Refused where the release writes none that may be given out.

    A text that was cut will do where less than a whole one was asked for.
    """
    tokens = live.model.tokens(asked.prefix)
    if tokens > MOST_PREFIX:
        what = Parameters.model_fields["prefix"].description
        raise Refused(400, f"prefix: {_shown(asked.prefix)} has {tokens} tokens and is not {what}")
    objection = live.objections.first(asked.prefix, ())
    # What is a copy as far as it goes may become a text of its own.
    if objection not in (None, "empty", "copy of the corpus"):
        raise Refused(
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
        raise Refused(422, f"{reason}; try another prefix or a higher temperature") from None


@dataclass(frozen=True)
class _Answer:
    status: int
    body: dict[str, Any]
    allow: str = ""


class Server(ThreadingHTTPServer):
    """Answers requests on threads of their own, and writes one text at a time."""

    request_queue_size = 128
    # Stopping waits for the requests under way.
    daemon_threads = False

    def __init__(self, port: int, live: Live, address: str = "") -> None:
        """Listen on a port of an address, empty for all, as Run wants it; raises UserError."""
        try:
            super().__init__((address, port), _Handler)
        except OSError as error:
            raise UserError(f"PORT {port} cannot be listened on: {error.strerror}") from None
        self.live = live
        self._writing = threading.Lock()

    def text(self, asked: Parameters) -> str:
        """A text of the live release; raises Refused and NoRelease."""
        with self._writing:
            return compose(self.live.current(), asked)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong in answering, unless it is that the client has gone."""
        del request, client_address
        if not isinstance(sys.exception(), ConnectionError):
            log("ERROR", traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    """One connection, for one request."""

    protocol_version = "HTTP/1.1"
    server_version = "gpt2-bots"
    sys_version = ""
    timeout = _PATIENCE
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    _ALLOWED: ClassVar = {"/": ("GET", "POST"), "/health": ("GET",)}

    def answer(self) -> None:
        """Answer the request; every mistake in it is a 4xx with one line."""
        try:
            body = self._body()
            answer = self._answer(body)
        except Refused as refused:
            answer = _Answer(refused.status, {"error": str(refused)})
        except NoRelease as reason:
            answer = _Answer(503, {"error": str(reason)})
        self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815

    def _answer(self, body: bytes) -> _Answer:
        path, _, query = self.path.partition("?")
        allowed = self._ALLOWED.get(path)
        if allowed is None:
            raise Refused(404, f"{_shown(path)}: there is / and /health")
        if self.command not in allowed:
            reason = f"{self.command} is not allowed here; {' and '.join(allowed)} are"
            return _Answer(405, {"error": reason}, ", ".join(allowed))
        if path == "/health":
            return _Answer(200, {"status": "ok", "release": self.server.live.tag})
        given = _from_query(query) if self.command == "GET" else self._from_json(body)
        return _Answer(200, {"text": self.server.text(Parameters.of(given))})

    def _body(self) -> bytes:
        """All of the body; of one that is too large, enough to be heard."""
        stated = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (stated.isascii() and stated.isdigit()):
            raise Refused(411, "the body's length is missing: send a Content-Length")
        length = int(stated[:20])
        if length <= MOST_BYTES:
            return self.rfile.read(length)
        left = min(length, _DRAINED)
        while left > 0 and (part := self.rfile.read(min(left, 1 << 16))):
            left -= len(part)
        raise Refused(413, f"the body has {length} bytes; at most {MOST_BYTES} are taken")

    def _from_json(self, body: bytes) -> dict[str, Any]:
        kind = self.headers.get_content_type() if "Content-Type" in self.headers else "none"
        if kind != "application/json":
            raise Refused(415, f"Content-Type: {_shown(kind)} is not application/json")
        try:
            given: Any = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"the body is not JSON: {error}") from None
        if not isinstance(given, dict):
            raise Refused(400, 'the body is not a JSON object, such as {"prefix": "The sea"}')
        return given  # pyright: ignore[reportUnknownVariableType]

    def _send(self, answer: _Answer) -> None:
        body = json.dumps(answer.body, ensure_ascii=False).encode(errors="replace") + b"\n"
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        # Or a connection that is kept open would keep the server from stopping.
        self.send_header("Connection", "close")
        if answer.allow:
            self.send_header("Allow", answer.allow)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request that HTTP knows, as the base class finds it."""
        del explain
        self.close_connection = True
        body = {"error": message or "this is no request"}
        # 501 is what the base class says of a method that it does not know.
        self._send(_Answer(405, body, "GET, POST") if code == 501 else _Answer(code, body))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: Run logs the requests."""


def _from_query(query: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise Refused(400, f"the query is not one: {error}") from None
    given = dict(pairs)
    if len(given) < len(pairs):
        raise Refused(400, "a parameter is given twice")
    return given


def run(server: Server) -> int:
    """Load the live release, serve until SIGTERM or SIGINT, finish what is under way, return 0."""

    def stop(*_: object) -> None:
        # On a thread of its own: it waits for the loop that this thread is in.
        threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        server.live.current()
    except NoRelease as reason:
        log("INFO", str(reason))
    log("INFO", f"listening on port {server.server_port}")
    with server:
        server.serve_forever(poll_interval=0.1)
    return 0
