"""The tweet API over real HTTP: what it responds, which release it uses, how it stops."""

import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import pytest
from google.cloud import storage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import live as live_module
from app import serve as serve_module
from app.live import CHECK_EVERY, Live, Release, load_release
from app.serve import MOST_BYTES, MOST_PREFIX, Server
from pipeline.generation import Candidate, Sampling
from pipeline.novelty import NoveltyIndex
from pipeline.objections import Objections
from pipeline.store import Store
from tests.app.releases import point, publish
from tests.conftest import CloudStorage

REPOSITORY = Path(__file__).resolve().parents[2]
START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
FIRST, SECOND = "20261122T101500Z-0123abcd", "20261123T101500Z-4567cdef"
JSON = {"Content-Type": "application/json"}


@dataclass
class Response:
    status: int
    headers: Message
    body: dict[str, Any]

    @property
    def error(self) -> str:
        assert set(self.body) == {"error"}
        assert "\n" not in self.body["error"]
        return self.body["error"]


@dataclass
class Api:
    """A server in this process, and a client of it."""

    port: int
    now: list[datetime] = field(default_factory=lambda: [START])
    loaded: list[str] = field(default_factory=list[str])

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        assert response.headers.get_content_type() == "application/json"
        assert data.count(b"\n") <= 1
        return Response(response.status, response.headers, json.loads(data) if data else {})

    def get(self, **given: Any) -> Response:
        return self.ask("GET", f"/?{urlencode(given)}")

    def post(self, given: Any) -> Response:
        return self.ask("POST", "/", json.dumps(given).encode(), JSON)

    @property
    def serves(self) -> str | None:
        """The release that it says it serves."""
        return self.ask("GET", "/health").body["release"]

    def later(self) -> None:
        """It is time to look at the pointer again."""
        self.now[0] += CHECK_EVERY


@contextmanager
def serving(
    store: Store, load: Callable[[Store, str, str], Release] = load_release
) -> Generator[Api]:
    api = Api(0)

    def noted(store: Store, account: str, tag: str) -> Release:
        made = load(store, account, tag)
        api.loaded.append(tag)
        return made

    server = Server(0, Live("keeper", store, lambda: api.now[0], noted))
    api.port = server.port
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield api
    finally:
        server.stop()
        thread.join()


@pytest.fixture(scope="module")
def api(gcs: CloudStorage, model_folder: Path) -> Iterator[Api]:
    """Serves the tiny model; nothing that a test does to it lasts."""
    client = gcs.client()
    store = Store(gcs.new_bucket(client), timeout=5)
    publish(store, FIRST, model_folder)
    point(store, FIRST)
    with serving(store) as api:
        yield api
    client.close()


class Writer:
    """Stands in for a model: writes these texts, at one's leave; a word is a token."""

    def __init__(self, *texts: str, ended: bool = True) -> None:
        self.texts, self.ended = texts, ended
        self.begun, self.leave = threading.Semaphore(0), threading.Semaphore(1000)
        self.at_once = self.most_at_once = 0

    def tokens(self, text: str) -> int:
        return len(text.split())

    def candidates(self, sampling: Sampling) -> list[Candidate]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.release()
        assert self.leave.acquire(timeout=60)
        self.at_once -= 1
        return [Candidate(sampling.prefix + text, self.ended, -1.0) for text in self.texts]


CORPUS = "the lamp was lit at dusk and burned until the morning"


def writing(writer: Writer) -> Callable[[Store, str, str], Release]:
    objections = Objections(
        NoveltyIndex.build([CORPUS]), frozenset([hashlib.sha256(b"beastly").hexdigest()])
    )
    return lambda store, account, tag: Release(tag, writer, objections)  # pyright: ignore[reportArgumentType]


@contextmanager
def written_by(store: Store, writer: Writer) -> Generator[Api]:
    point(store, FIRST)
    with serving(store, writing(writer)) as api:
        yield api


def test_get_and_post_respond_with_a_text_that_begins_with_the_prefix(api: Api) -> None:
    given = {"prefix": "sea ", "length": 12, "temperature": 0.7, "top_k": 20, "top_p": 0.9}
    for response in (api.get(**given), api.post(given)):
        assert response.status == 200
        assert set(response.body) == {"text"}
        text = response.body["text"]
        assert text.startswith("sea ")
        assert len("sea ") < len(text) <= len("sea ") + 12  # its tokens are letters


def test_without_parameters_there_is_a_whole_text_that_differs(api: Api) -> None:
    texts = {api.get().body["text"], api.post({}).body["text"]}
    assert len(texts) == 2
    assert all(texts)


@pytest.mark.parametrize(
    ("name", "value", "range_"),
    [
        ("length", 0, "1 to 280"),
        ("length", 281, "1 to 280"),
        ("length", 2.5, "a whole number"),
        ("length", "many", "1 to 280"),
        ("length", "", "1 to 280"),
        ("length", "9" * 5000, "1 to 280"),
        ("temperature", 0, "0.1 to 2"),
        ("temperature", 2.01, "0.1 to 2"),
        ("temperature", "nan", "0.1 to 2"),
        ("temperature", "inf", "0.1 to 2"),
        ("top_k", -1, "0 (all tokens) to 1000"),
        ("top_k", 1001, "0 (all tokens) to 1000"),
        ("top_p", -0.1, "0 (all tokens) to 1"),
        ("top_p", 1.1, "0 (all tokens) to 1"),
        ("prefix", "a" * (MOST_PREFIX + 1), f"at most {MOST_PREFIX} tokens"),
    ],
)
def test_a_bad_value_is_a_400_that_names_parameter_value_and_range(
    api: Api, name: str, value: Any, range_: str
) -> None:
    for response in (api.get(**{name: value}), api.post({name: value})):
        assert response.status == 400
        assert response.error.startswith(f"{name}: ")
        assert str(value)[:20] in response.error
        assert range_ in response.error
        assert len(response.error) < 250


@pytest.mark.parametrize("value", [True, None, [], {}, [5], {"a": 1}])
@pytest.mark.parametrize("name", ["prefix", "length", "temperature", "top_k", "top_p"])
def test_a_value_of_another_type_is_a_400_that_names_it(api: Api, name: str, value: Any) -> None:
    response = api.post({name: value})
    assert response.status == 400
    assert response.error.startswith(f"{name}: {json.dumps(value)} is not ")


def test_an_unknown_parameter_is_a_400_that_lists_the_known(api: Api) -> None:
    for response in (api.get(temprature=1), api.post({"temprature": 1})):
        assert response.status == 400
        assert response.error.startswith('"temprature": unknown')
        assert "temperature" in response.error
    assert api.ask("GET", "/?length=5&length=6").status == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"5", b'"text"', b"\xff\xfe", b"[" * 10_000, b'{"length": 1e999}',
     b'{"prefix": "\\ud800"}', b'{"length": NaN}', b'{"length": ' + b"9" * 6000 + b"}"],
)  # fmt: skip
def test_a_malformed_body_is_a_400(api: Api, body: bytes) -> None:
    response = api.ask("POST", "/", body, JSON)
    assert response.status == 400
    assert response.error


@settings(
    max_examples=50,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    asked=st.dictionaries(
        st.sampled_from(["prefix", "length", "temperature", "top_k", "top_p"]),
        st.one_of(
            st.text(max_size=60),
            st.integers(-5, 300),
            st.floats(),
            st.booleans(),
            st.none(),
            st.sampled_from(["<|endoftext|>", "\0", "\u202e", "🧑‍🚒", "see x.com", "@you"]),
        ),
    )
)
def test_no_parameters_whatsoever_are_a_500(api: Api, asked: dict[str, Any]) -> None:
    query = urlencode({k: str(v) for k, v in asked.items()}, errors="surrogatepass")
    for response in (api.post(asked), api.ask("GET", f"/?{query}")):
        assert response.status in (200, 400, 422)
        assert response.status == 200 or response.error


def test_a_query_that_is_not_utf_8_is_a_400(api: Api) -> None:
    assert api.ask("GET", "/?prefix=%ff%fe").status == 400


def test_a_body_that_is_too_large_is_a_413_and_one_without_length_a_411(api: Api) -> None:
    for size in (MOST_BYTES + 1, 3_000_000):
        response = api.ask("POST", "/", b" " * size, JSON)
        assert response.status == 413
        assert f"{size} bytes; at most {MOST_BYTES}" in response.error
    assert api.post({"prefix": "sea", "length": 5}).status == 200
    response = api.ask("POST", "/", None, {**JSON, "Transfer-Encoding": "chunked"})
    assert response.status == 411
    assert api.ask("POST", "/", None, {**JSON, "Content-Length": "-1"}).status == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW"])
def test_a_wrong_method_is_a_405_that_names_the_right_ones(api: Api, method: str) -> None:
    response = api.ask(method, "/", b"{}" if method == "PUT" else None)
    assert response.status == 405
    assert response.headers["Allow"] == "GET, POST"
    assert api.ask("POST", "/health", b"{}", JSON).headers["Allow"] == "GET"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_wrong_content_type_is_a_415(api: Api, kind: str | None) -> None:
    response = api.ask("POST", "/", b"{}", {"Content-Type": kind} if kind else {})
    assert response.status == 415
    assert "application/json" in response.error
    with_charset = {"Content-Type": "application/json; charset=utf-8"}
    assert api.ask("POST", "/", b'{"length": 5}', with_charset).status == 200


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nHost: api\r\n", b""),
        (b"POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 408 "),
    ],
)
def test_a_client_that_stops_sending_is_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch, sent: bytes, received: bytes
) -> None:
    monkeypatch.setattr(serve_module, "_TIMEOUT", 0.1)
    with (
        written_by(store, Writer("gale")) as api,
        socket.create_connection(("127.0.0.1", api.port), timeout=60) as raw,
    ):
        raw.sendall(sent)
        assert raw.makefile("rb").read()[:13] == received


def test_a_failure_of_ours_is_a_500_in_one_line_and_is_logged(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = Writer("gale")
    writer.tokens = lambda text: 1 // 0
    with written_by(store, writer) as api:
        response = api.get()
    assert response.status == 500
    assert "see the log" in response.error
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_another_path_is_a_404_in_one_line(api: Api) -> None:
    response = api.ask("GET", "/a%0Ab?prefix=sea")
    assert response.status == 404
    assert "/health" in response.error


def test_malformed_http_is_a_400_and_the_next_request_is_served(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as raw:
        raw.sendall(b"nonsense\r\n\r\n")
        assert b'{"error": "Invalid HTTP request' in raw.makefile("rb").read()
    assert api.ask("GET", "/health").status == 200


@pytest.mark.parametrize(
    ("prefix", "objection"),
    [
        ("see example.com", "link"),
        ("hello @harbour_radio", "mention"),
        ("what beastly weather", "unsafe"),
        ("灯" * 141, "too long"),
        ("a \ufffd b", "garbled"),
    ],
)
def test_a_prefix_that_the_filters_reject_is_a_400_and_nothing_is_written(
    store: Store, prefix: str, objection: str
) -> None:
    writer = Writer(" and so on")
    with written_by(store, writer) as api:
        response = api.post({"prefix": prefix})
    assert response.status == 400
    assert response.error.startswith("prefix: ")
    assert f"({objection})" in response.error
    assert not writer.begun.acquire(blocking=False)


def test_texts_pass_the_filters_of_posts_together_with_their_prefix(store: Store) -> None:
    writer = Writer(" and burned until the rain", " but see example.com", " beastly", " for once")
    with written_by(store, writer) as api:
        response = api.post({"prefix": "the lamp was lit at dusk"})
        assert response.body == {"text": "the lamp was lit at dusk for once"}
        writer.texts = writer.texts[:3]
        response = api.post({"prefix": "the lamp was lit at dusk"})
    assert response.status == 422
    assert "copy of the corpus 3" in response.error
    assert "link 3" in response.error
    assert "unsafe 3" in response.error


def test_a_cut_text_passes_only_if_less_than_a_whole_one_was_asked_for(store: Store) -> None:
    with written_by(store, Writer("gale at night and", ended=False)) as api:
        assert api.post({"length": 4}).body == {"text": "gale at night and"}
        assert "unfinished" in api.post({}).error


def test_before_the_first_release_it_is_healthy_and_texts_are_a_503(
    store: Store, model_folder: Path
) -> None:
    with serving(store) as api:
        response = api.get()
        assert response.status == 503
        assert "no release yet" in response.error
        assert api.get(length=0).status == 400
        assert api.ask("GET", "/health").status == 200
        assert api.serves is None
        publish(store, FIRST, model_folder)
        point(store, FIRST)
        assert api.get().status == 503  # it has just looked
        api.later()
        assert api.get(length=20).status == 200
        assert api.serves == FIRST


def test_a_moved_pointer_is_followed_at_the_next_check_and_not_before(
    store: Store, model_folder: Path
) -> None:
    for tag in (FIRST, SECOND):
        publish(store, tag, model_folder)
    point(store, FIRST)
    with serving(store) as api:
        assert api.get(length=20).status == 200
        point(store, SECOND)
        api.now[0] += CHECK_EVERY - timedelta(microseconds=1)
        assert api.get(length=20).status == 200
        assert api.serves == FIRST
        api.now[0] += timedelta(microseconds=1)
        assert api.get(length=20).status == 200
        assert api.serves == SECOND
        point(store, FIRST)
        api.later()
        api.get()
        api.later()
        api.get()
        assert api.loaded == [FIRST, SECOND, FIRST]  # once for each move


@pytest.mark.parametrize("wrong", ["digest", "file", "manifest", "model"])
def test_a_release_that_cannot_be_loaded_leaves_the_earlier_one_in_use_and_is_logged(
    store: Store,
    model_folder: Path,
    tmp_path: Path,
    wrong: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish(store, FIRST, model_folder)
    point(store, FIRST)
    bad = tmp_path / "bad"
    bad.mkdir()
    for file in model_folder.iterdir():
        broken = wrong == "model" and file.name == "model.bin"
        (bad / file.name).write_bytes(b"broken!" if broken else file.read_bytes())
    lies = {"digest": {"model/model.bin": "0" * 64}, "file": {"model/absent.bin": "0" * 64}}
    if wrong != "manifest":
        publish(store, SECOND, bad, lies.get(wrong))
    with serving(store) as api:
        assert api.get(length=20).status == 200
        point(store, SECOND)
        api.later()
        assert api.get(length=20).status == 200
        assert api.serves == FIRST
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (error,) = [line["message"] for line in lines if line["severity"] == "ERROR"]
    assert f"{FIRST} stays in use" in error


def test_a_first_release_that_cannot_be_loaded_is_a_503_until_it_can(
    store: Store, model_folder: Path
) -> None:
    point(store, FIRST)
    with serving(store) as api:
        response = api.get()
        assert response.status == 503
        assert "cannot be loaded now" in response.error
        publish(store, FIRST, model_folder)
        api.later()
        assert api.get(length=20).status == 200


def test_no_file_of_a_release_is_left_behind(
    store: Store, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    class Noted(live_module.TemporaryDirectory[str]):
        def __init__(self) -> None:
            super().__init__(dir=tmp_path)
            made.append(Path(self.name))

    monkeypatch.setattr(live_module, "TemporaryDirectory", Noted)
    publish(store, FIRST, model_folder)
    loaded = load_release(store, "keeper", FIRST)
    assert loaded.model.candidates()
    assert len(made) == 1
    assert list(tmp_path.iterdir()) == []


def test_one_text_is_written_at_a_time_and_health_is_served_meanwhile(store: Store) -> None:
    writer = Writer("gale at night")
    writer.leave = threading.Semaphore(0)
    with written_by(store, writer) as api, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(api.get) for _ in range(4)]
        for _ in asked:
            assert writer.begun.acquire(timeout=60)
            assert api.ask("GET", "/health").status == 200
            writer.leave.release()
        assert [a.result(60).status for a in asked] == [200] * 4
    assert writer.most_at_once == 1


class Process:
    """The program as its image starts it; `code` runs before it."""

    def __init__(self, environment: dict[str, str], code: str = "pass") -> None:
        program = f"import sys; {code}; from app.__main__ import main; sys.exit(main())"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, "serve"],
            cwd=REPOSITORY,
            env={**{k: v for k, v in os.environ.items() if k in ("PATH", "HOME")}, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def line(self) -> str:
        """What it says next."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())["message"]

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go on\n")
        self._process.stdin.flush()

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def status(self) -> int:
        return self._process.wait(60)


@pytest.fixture
def environment(
    gcs_environment: dict[str, str],
    bucket_factory: Callable[[], storage.Bucket],
    model_folder: Path,
) -> dict[str, str]:
    bucket: Any = bucket_factory()
    store = Store(bucket)
    publish(store, FIRST, model_folder)
    point(store, FIRST)
    return {**gcs_environment, "ACCOUNT": "keeper", "MODELS_BUCKET": bucket.name, "PORT": "0"}


WAITS = (
    "from pipeline import generation; from pipeline.log import log;"
    "write = generation.Model.candidates;"
    "generation.Model.candidates = lambda self, sampling: ("
    "log('INFO', 'writing'), sys.stdin.readline(), write(self, sampling))[2]"
)


def test_on_sigterm_it_finishes_the_request_under_way_and_exits_with_0(
    environment: dict[str, str],
) -> None:
    with Process(environment, WAITS) as process, ThreadPoolExecutor(1) as pool:
        assert f"release {FIRST}" in process.line()
        port = int(process.line().rpartition(" ")[2])
        asked = pool.submit(Api(port).ask, "GET", "/?length=20")
        assert process.line() == "writing"
        process.terminate()
        process.go_on()
        response = asked.result(60)
        assert response.status == 200
        assert response.body["text"]
        assert process.status() == 0


def test_an_idle_server_stops_on_sigterm_with_0(environment: dict[str, str]) -> None:
    with Process(environment) as process:
        process.line()
        assert "listening" in process.line()
        process.terminate()
        assert process.status() == 0


@pytest.mark.parametrize(
    ("told", "address"), [({}, "00000000"), ({"LISTEN": "127.0.0.1"}, "0100007F")]
)
def test_it_listens_on_all_addresses_unless_one_is_given(
    environment: dict[str, str], told: dict[str, str], address: str
) -> None:
    with Process(environment | told) as process:
        process.line()
        port = int(process.line().rpartition(" ")[2])
        sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = {local for _, local, _, state, *_ in sockets if state == "0A"}
        assert {place for place in listening if place.endswith(f":{port:04X}")} == {
            f"{address}:{port:04X}"
        }


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "http"), ("PORT", "70000"), ("ACCOUNT", ""), ("MODELS_BUCKET", "")]
)
def test_a_bad_environment_is_one_line_that_names_the_variable(
    environment: dict[str, str], name: str, value: str
) -> None:
    with Process({**environment, name: value}) as process:
        assert name in process.line()
        assert process.status() == 1


def test_a_port_that_is_taken_is_one_line(environment: dict[str, str], api: Api) -> None:
    with Process({**environment, "PORT": str(api.port)}) as process:
        assert str(api.port) in process.line()
        assert process.status() == 1


def test_the_live_release_comes_without_tensorflow(environment: dict[str, str]) -> None:
    with Process(environment, "sys.modules['tensorflow'] = None") as process:
        assert f"release {FIRST}" in process.line()
