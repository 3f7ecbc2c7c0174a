"""What the app logs and what its API responds is what was reviewed."""

# pyright: reportPrivateUsage=false

import json
import socket
import sys
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException

import app.__main__ as program
from app import live as live_module
from app import send
from app.compose import NothingFit
from app.live import CHECK_EVERY, Live, NoRelease, Release
from app.post import Poster
from app.serve import MOST_BYTES, Parameters, Server
from app.serve import run as run_server
from pipeline import interrupt, layout, release, slots
from pipeline.errors import Unavailable, UserError
from pipeline.slots import Slot
from pipeline.spend import Ledger
from pipeline.store import Store
from pipeline.x import Keys, XRefused
from tests import messages
from tests.app.test_serve import Writer, serving, writing
from tests.trainer.steps import Bucket, Steps

NOW = datetime(2026, 11, 23, 8, 0, 5, tzinfo=UTC)
FIRST, SECOND = "20261122T101500Z-0123abcd", "20261123T101500Z-4567cdef"
KEYS = {"api_key": "a", "api_secret": "b", "access_token": "c", "access_token_secret": "d"}
ENVIRONMENT = {
    "ACCOUNT": "keeper",
    "DATA_BUCKET": "bots-data",
    "SCHEDULE": "0 9 * * *",
    "TIME_ZONE": "Europe/Paris",
    "POSTS_USD_PER_MONTH": "5",
    "TASK_TIMEOUT": "600",
    "X_KEYS_SECRET": "projects/p/secrets/s",
    "RELEASE": FIRST,
}


def logged(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


class Program:
    """`python -m app …` in this process: its buckets are in memory and X is a function."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.environment = dict(ENVIRONMENT)
        self.store = Steps(Bucket())
        self.opened: list[str] = []
        self.keys: list[Keys] = []
        self.sent: list[str] = []
        self.error: Exception | None = None
        self.model = folder / "model"
        self.model.mkdir()
        self._monkeypatch = monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.setattr(program.clock, "now", lambda: NOW)
        monkeypatch.setattr(program.time, "sleep", self._sleep)
        monkeypatch.setattr(program.Store, "open", self._open)
        monkeypatch.setattr(program.secrets, "latest", self._secret)
        monkeypatch.setattr(program, "sender", self._sender)
        monkeypatch.setattr(program, "load_composer", lambda: self)

    def run(self, *arguments: str) -> int:
        self._monkeypatch.setattr(sys, "argv", ["app", *arguments])
        for name in (*ENVIRONMENT, "CLOUD_RUN_EXECUTION", "PORT", "LISTEN", "MODELS_BUCKET"):
            self._monkeypatch.delenv(name, raising=False)
        for name, value in self.environment.items():
            self._monkeypatch.setenv(name, value)
        return program.main()

    def compose(self, history: Collection[str]) -> str:
        if self.error is not None:
            raise self.error
        return f"a text unlike {len(history)} others"

    def _sleep(self, seconds: float) -> None:
        pass

    def _open(self, name: str) -> Store:
        self.opened.append(name)
        return self.store

    def _secret(self, name: str) -> str:
        assert name == ENVIRONMENT["X_KEYS_SECRET"]
        return json.dumps(KEYS)

    def _sender(self, keys: Keys) -> Callable[[str], str]:
        self.keys.append(keys)
        return self._send

    def _send(self, text: str) -> str:
        self.sent.append(text)
        return "1234"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    return Program(tmp_path, monkeypatch)


def test_a_post_is_made_of_what_the_environment_says(
    app: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run("post") == 0
    said = {"posted": logged(capsys)}
    assert app.run("post") == 0
    said["posted already"] = logged(capsys)
    assert app.opened == ["bots-data", "bots-data"]
    assert app.keys == [Keys(**KEYS)] * 2
    assert app.sent == ["a text unlike 0 others"]
    (slot,) = slots.names(app.store, "keeper")
    found = slots.read(app.store, "keeper", slot)
    assert found is not None
    record = found.document
    assert (slot, record.release, record.execution) == ("20261123T0800Z", FIRST, "by-hand")
    assert record.expires - record.at == timedelta(minutes=12)
    assert Ledger(app.store, layout.spent("keeper"), Decimal(5), lambda: NOW).spent().count == 1
    messages.check("app-post", said)


def test_a_post_that_fails_says_so_as_reviewed(
    app: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    said: dict[str, Any] = {}

    def run(name: str, status: int, *arguments: str) -> None:
        app.store = Steps(Bucket())
        assert app.run(*arguments) == status, name
        said[name] = logged(capsys)

    run("no command", 2)
    run("another command", 2, "tweet")
    app.error = NothingFit("none of 96 texts may be posted: link 96")
    run("nothing fits", 0, "post")
    app.error = Unavailable("X is out of order")
    run("an outage", 1, "post")
    app.error = None
    app.environment["POSTS_USD_PER_MONTH"] = "0"
    run("no money", 1, "post")
    for name, value in {
        "POSTS_USD_PER_MONTH": "-1",
        "TASK_TIMEOUT": "0",
        "RELEASE": "",
        "ACCOUNT": "",
        "SCHEDULE": "at nine",
        "TIME_ZONE": "Mars",
    }.items():
        app.environment = ENVIRONMENT | {name: value}
        run(f"{name} {value}", 1, "post")
    for port in ("-1", "65536"):
        app.environment = {"ACCOUNT": "keeper", "MODELS_BUCKET": "b", "PORT": port}
        run(f"PORT {port}", 1, "serve")
    app.model.rmdir()
    run("no model", 0, "post")
    folder = str(app.model.parent.resolve())
    messages.check("app-failures", json.loads(json.dumps(said).replace(folder, "FOLDER")))


def test_the_least_timeout_and_no_money_at_all_are_valid(app: Program) -> None:
    app.environment |= {"TASK_TIMEOUT": "1", "POSTS_USD_PER_MONTH": "0.015"}
    assert app.run("post") == 0
    for port in (0, 65535):
        given = {"ACCOUNT": "keeper", "MODELS_BUCKET": "b", "PORT": str(port)}
        assert program.ServeSettings.read(given).port == port
    assert program.ServeSettings.read({"ACCOUNT": "keeper", "MODELS_BUCKET": "b"}).port == 8080
    assert program.ServeSettings.read({"ACCOUNT": "keeper", "MODELS_BUCKET": "b"}).address == ""


def test_the_self_test_asks_for_a_text_and_says_it(
    app: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run("self-test") == 0
    said = {"works": logged(capsys)}
    app.error = NothingFit("none of 96 texts may be posted: link 96")
    assert app.run("self-test") == 1
    said["writes nothing"] = logged(capsys)
    folder = str(app.model.parent.resolve())
    messages.check("app-self-test", json.loads(json.dumps(said).replace(folder, "FOLDER")))


def test_the_api_serves_the_account_and_the_bucket_of_its_environment(
    app: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Server] = []

    def run(server: Server) -> int:
        served.append(server)
        server._socket.close()
        return 7

    monkeypatch.setattr("app.serve.run", run)
    app.environment = {
        "ACCOUNT": "keeper",
        "MODELS_BUCKET": "bots-models",
        "PORT": "0",
        "LISTEN": "127.0.0.1",
    }
    assert app.run("serve") == 7
    (server,) = served
    assert app.opened == ["bots-models"]
    assert (server.live._account, server.live._clock()) == ("keeper", NOW)
    assert server.port > 0


def test_each_state_of_a_slot_is_reported_as_reviewed(capsys: pytest.CaptureFixture[str]) -> None:
    said: dict[str, Any] = {}
    for state in ("claimed", "intended", "refused", "posted", "unknown", "nothing"):
        for mine in (True, False):
            record = Slot(
                state=state,
                execution="one" if mine else "another",
                nonce="n",
                at=NOW,
                expires=NOW,
                text="a text",
                release=FIRST,
                id="7",
                in_doubt=True,
                reason="a reason",
            )
            status = program.report("20261123T0800Z", record, mine=mine, execution="one")
            whose = "of this execution" if mine else "of another"
            said[f"{state}, {whose}"] = [status, *logged(capsys)]
    messages.check("app-report", said)


def test_what_x_refuses_is_kept_with_its_reason() -> None:
    store = Steps(Bucket())

    def refused(_: str) -> str:
        raise XRefused("credentials", "X refuses the keys")

    poster = Poster(
        account="keeper",
        store=store,
        ledger=Ledger(store, layout.spent("keeper"), Decimal(5), lambda: NOW),
        send=refused,
        execution="one",
        task_timeout=timedelta(minutes=1),
        clock=lambda: NOW,
        sleep=lambda _: None,
    )
    record = poster.post("20261123T0800Z", FIRST, lambda _: "a text")
    assert (record.state, record.reason, record.in_doubt) == (
        "refused",
        "X refuses the keys",
        False,
    )
    assert len(poster.nonce) == 16
    assert poster.ledger.spent().count == 0
    store.remove(layout.slot("keeper", "20261123T0800Z"))
    with pytest.raises(UserError) as gone:
        poster._winner("20261123T0800Z")
    messages.check("app-slot-gone", {"gone": str(gone.value)})


@pytest.mark.parametrize("response", [{}, {"data": {}}, {"data": {"id": "x"}}, {"data": None}])
def test_a_post_without_an_id_is_nonsense(response: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object, **__: object) -> Any:
        return response

    monkeypatch.setattr(send.x, "ask", ask)
    with pytest.raises(
        Unavailable, match=r"^X's response to a post has no id; check the account at X$"
    ) as raised:
        send.sender(Keys(**KEYS))("a text")
    assert getattr(raised.value, "kind", None) == "nonsense"


class Loading:
    """A live release on a clock, loaded by a function that may fail."""

    def __init__(self) -> None:
        self.store = Steps(Bucket())
        self.now = NOW
        self.error: Exception | None = None
        self.live = Live("keeper", self.store, lambda: self.now, self.load)

    def load(self, store: Store, account: str, tag: str) -> Release:
        assert (store, account) == (self.store, "keeper")
        if self.error is not None:
            raise self.error
        return Release(tag, Writer("x"), None)  # pyright: ignore[reportArgumentType]

    def point(self, tag: str) -> None:
        found = release.read_live(self.store, "keeper")
        release.move_live(self.store, "keeper", tag, "t", found.generation if found else 0, NOW)

    def look(self) -> str:
        self.now += CHECK_EVERY
        try:
            return self.live.current().tag
        except NoRelease as reason:
            return str(reason)


def test_what_becomes_of_the_live_release_is_logged_as_reviewed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    loading, said = Loading(), dict[str, Any]()

    def look(name: str) -> None:
        said[name] = [loading.look(), loading.live.tag, *logged(capsys)]

    look("before the first release")
    loading.point(FIRST)
    loading.error = UserError("it is broken")
    look("a first release that is broken")
    loading.error = OSError("disk full")
    look("a first release on a full disk")
    loading.error = None
    look("the first release")
    look("no other release")
    loading.point(SECOND)
    loading.error = Unavailable("storage is down")
    look("another release that cannot be loaded")
    loading.error = None
    look("another release")
    messages.check("app-live", said)


def test_a_release_is_loaded_from_its_account_and_bucket(
    monkeypatch: pytest.MonkeyPatch, model_folder: Path
) -> None:
    asked: list[Any] = []

    def download(store: Store, account: str, tag: str, folder: Path) -> None:
        asked.append((store, account, tag))
        for file in model_folder.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())

    monkeypatch.setattr(live_module.release, "download_model", download)
    store = Steps(Bucket())
    loaded = live_module.load_release(store, "keeper", FIRST)
    assert asked == [(store, "keeper", FIRST)]
    assert loaded.tag == FIRST
    text = "the lamp was lit at dusk and burned until the morning"
    assert loaded.objections.first(text, ()) == "copy of the corpus"
    assert Live("keeper", store, lambda: NOW)._load is live_module.load_release


BOUNDS = {
    "length": (1, 280, 0, 281),
    "temperature": (0.1, 2, 0.09, 2.01),
    "top_k": (0, 1000, -1, 1001),
    "top_p": (0, 1, -0.01, 1.01),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_parameter_takes_its_bounds_and_nothing_beyond(name: str) -> None:
    least, most, below, above = BOUNDS[name]
    for value in (least, most):
        assert getattr(Parameters.of({name: value}), name) == value
    for value in (below, above, float("nan")):
        with pytest.raises(HTTPException):
            Parameters.of({name: value})


def test_without_parameters_texts_are_drawn_as_posts_are_but_few_at_once() -> None:
    drawn = Parameters.of({}).sampling
    assert (drawn.prefix, drawn.length, drawn.temperature) == ("", 280, 0.8)
    assert (drawn.top_k, drawn.top_p, drawn.texts) == (40, 1.0, 8)


def test_each_mistake_in_a_request_is_answered_as_reviewed() -> None:
    store = Steps(Bucket())
    said: dict[str, Any] = {}
    with serving(store, writing(Writer(" see example.com"))) as api:
        json_type = {"Content-Type": "application/json"}

        def ask(
            name: str, method: str, path: str, body: bytes | None = None, **headers: str
        ) -> None:
            given = {key.replace("_", "-"): value for key, value in headers.items()}
            response = api.ask(method, path, body, given or (json_type if body else None))
            dropped = {"date", "content-length"}
            kept = {k: v for k, v in response.headers.items() if k.lower() not in dropped}
            said[name] = [response.status, kept, response.body]

        ask("health", "GET", "/health")
        ask("no release", "GET", "/")
        found = release.read_live(store, "keeper")
        release.move_live(store, "keeper", FIRST, "t", found.generation if found else 0, NOW)
        api.later()
        ask("nothing fits", "GET", "/?prefix=The+sea")
        ask("healthy with a release", "GET", "/health")
        ask("another path", "GET", "/nowhere")
        ask("another method", "DELETE", "/")
        ask("another method of health", "POST", "/health", b"{}")
        ask("an unknown parameter", "GET", "/?lenght=7")
        ask("an unknown parameter that is long", "GET", f"/?{'x' * 100}=7")
        ask("a parameter twice", "GET", "/?length=7&length=8")
        ask("too many parameters", "GET", "/?" + "&".join("a=1" for _ in range(101)))
        for parameter in ("length", "temperature", "top_k", "top_p"):
            ask(f"a wrong {parameter}", "GET", f"/?{parameter}=much")
        ask("a truth value", "POST", "/", b'{"top_k": true}')
        ask("half a character", "POST", "/", b'{"prefix": "\\ud800"}')
        ask("a long prefix", "GET", "/?prefix=" + "+".join(["word"] * 141))
        ask("a prefix with a link", "GET", "/?prefix=see+example.com")
        ask("no JSON", "POST", "/", b"{")
        ask("no object", "POST", "/", b"[]")
        ask("no JSON by its type", "POST", "/", b"{}", Content_Type="text/plain")
        ask("JSON with a character set", "POST", "/", b"{}", Content_Type="Application/JSON; x=y")
        ask("no length", "POST", "/", b"", Transfer_Encoding="chunked")
        most = json.dumps({"prefix": "a", "x": "y" * (MOST_BYTES - 24)}).encode()
        ask("a body of the most bytes", "POST", "/", most)
        ask("a body with one more", "POST", "/", most + b" ")
        said["the most bytes"] = len(most)
    messages.check("app-api", said)


def test_the_server_is_set_up_for_run(monkeypatch: pytest.MonkeyPatch) -> None:
    listened: list[int] = []
    real = socket.socket.listen

    def listen(there: socket.socket, backlog: int) -> None:
        listened.append(backlog)
        real(there, backlog)

    monkeypatch.setattr(socket.socket, "listen", listen)
    server = Server(0, Live("keeper", Steps(Bucket()), lambda: NOW))
    config = server._uvicorn.config
    try:
        assert listened == [128]
        assert server._socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
        assert server._socket.getsockname()[0] == "0.0.0.0"
        assert (config.ws, config.lifespan, config.interface) == ("none", "off", "asgi3")
        assert (config.backlog, config.timeout_keep_alive) == (128, 5)
        assert (config.log_config, config.log_level) == (None, "critical")
        assert (config.proxy_headers, config.server_header) == (False, False)
        with pytest.raises(UserError) as taken:
            Server(server.port, server.live)
        said = str(taken.value).replace(str(server.port), "N")
        assert (
            said == "PORT is N, where nothing can listen (Address already in use); set another port"
        )
    finally:
        server._socket.close()


class Serving:
    """A server that ends at once."""

    port = 8080

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.ran = False
        self.live = self

    def current(self) -> None:
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        self.ran = True


def test_the_server_says_when_it_listens_and_why_it_has_no_release(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[str] = []
    monkeypatch.setattr(interrupt, "listen", lambda: called.append("listen"))
    said: dict[str, Any] = {}
    for name, error, runs in (
        ("a release", None, True),
        ("no release", NoRelease("there is none"), True),
        ("an interrupt", interrupt.Interrupted(), False),
    ):
        server = Serving(error)
        assert run_server(server) == 0  # pyright: ignore[reportArgumentType]
        assert server.ran == runs
        said[name] = logged(capsys)
    assert called == ["listen", "listen", "listen"]
    messages.check("app-serve", said)
