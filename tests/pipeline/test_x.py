"""X's odd answers told apart, over real HTTP and through tweepy."""

import json
import logging
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import oauthlib.oauth1
import pytest
import requests
import tweepy.client
from requests.adapters import HTTPAdapter

from pipeline import x
from pipeline.errors import Unavailable, UserError
from pipeline.x import Keys, XError

NOW = 1_795_435_200  # 2026-11-23T12:00:00Z
KEYS = Keys(api_key="ck", api_secret="cs", access_token="7-at", access_token_secret="ats")


class Answers(ThreadingHTTPServer):
    """Gives each request the same `answer`, and keeps what was asked.

    It stands in for api.twitter.com's wire alone: its answers are recorded or written by hand.
    """

    daemon_threads = True
    answer: tuple[int, dict[str, str], bytes] = (200, {}, b'{"data": {"id": "1"}}')

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Answers)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, dict(self.headers), body))
        status, headers, data = self.server.answer
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    with Answers() as served:
        threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("X_API_URL", f"http://127.0.0.1:{served.server_port}")
        yield served
        served.shutdown()


def read() -> dict[str, Any]:
    client: Any = x.client("bearer")
    return x.ask(client.get_users_tweets, "7")


def post(text: str = "hello") -> dict[str, Any]:
    client: Any = x.poster(KEYS)
    return x.ask(client.create_tweet, text=text, user_auth=True)


def error_of(
    server: Answers, status: int, body: Any, headers: dict[str, str] | None = None
) -> XError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    server.answer = (status, headers or {}, data)
    with pytest.raises(XError) as error:
        read()
    assert "\n" not in str(error.value)
    return error.value


def test_the_bearer_token_is_sent(server: Answers) -> None:
    read()
    [(_, path, headers, _)] = server.requests
    assert path == "/2/users/7/tweets"
    assert headers["Authorization"] == "Bearer bearer"


def test_a_post_is_signed_for_xs_own_address(server: Answers) -> None:
    post("fog & light, 100 %")
    [(_, path, headers, body)] = server.requests
    assert (path, json.loads(body)) == ("/2/tweets", {"text": "fog & light, 100 %"})
    sent = headers["Authorization"]
    given = dict(re.findall(r'(oauth_\w+)="([^"]*)"', sent))
    signer: Any = oauthlib.oauth1.Client(
        "ck", "cs", "7-at", "ats", nonce=given["oauth_nonce"], timestamp=given["oauth_timestamp"]
    )
    _, signed, _ = signer.sign(f"https://api.twitter.com{path}", "POST")
    assert given["oauth_signature"] in signed["Authorization"]


def test_without_the_local_cloud_requests_go_to_x(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("X_API_URL", raising=False)
    sent: list[tuple[str | None, Any]] = []

    def send(self: Any, request: requests.PreparedRequest, *args: Any, **options: Any) -> None:
        sent.append((request.url, options["timeout"]))
        raise requests.ConnectTimeout

    monkeypatch.setattr(HTTPAdapter, "send", send)
    with pytest.raises(XError):
        read()
    assert sent == [("https://api.twitter.com/2/users/7/tweets", (5, 30))]


def test_a_token_is_never_logged_even_at_debug(
    server: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        read()
    assert "Bearer" not in caplog.text


# What each answer means

MEANT = {
    "01": None,
    "02": None,
    "03": None,
    "04": None,
    "05": None,
    "06": None,
    "60": None,
    "20": "not-found",
    "21": "forbidden",
    "22": "forbidden",
    "23": "forbidden",
    "25": "invalid",
    "30": "credentials",
    "31": "credentials",
    "32": "forbidden",
    "33": "forbidden",
    "34": "duplicate",
    "35": "forbidden",
    "36": "invalid",
    "37": "forbidden",
    "40": "credits",
    "41": "credits",
    "42": "rate",
    "44": "cap",
    "45": "rate",
    "50": "unavailable",
}


def test_every_recorded_response_has_its_kind(server: Answers, shared_data: Path) -> None:
    files = sorted((shared_data / "x-api").glob("*.json"))
    assert files
    for file in files:
        recorded = json.loads(file.read_text())
        headers = {
            name: re.sub(r"\{now\+(\d+)\}", lambda found: str(NOW + int(found[1])), value)
            for name, value in recorded["headers"].items()
        }
        server.answer = (recorded["status"], headers, json.dumps(recorded["body"]).encode())
        request = post if recorded["request"]["method"] == "POST" else read
        kind = MEANT[file.name[:2]]
        if kind is None:
            assert request() == recorded["body"], file.name
            continue
        with pytest.raises(XError) as error:
            request()
        assert error.value.kind == kind, file.name
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, {"detail": "Unauthorized"}, "credentials", "bots credentials"),
        (402, b"", "credits", "buy some"),
        (402, {"detail": "whatever"}, "credits", "buy some"),
        (403, {"detail": "You are not permitted."}, "forbidden", "not permitted"),
        (403, {"detail": "no", "type": "/problems/oauth1-permissions"}, "forbidden", "read and w"),
        (403, {"detail": "no", "type": "/problems/client-forbidden"}, "forbidden", "to a project"),
        (403, {"detail": "with duplicate content."}, "duplicate", "with this text already"),
        (404, {"title": "Not Found"}, "not-found", "Not Found"),
        (400, {"errors": [{"message": "bad `username`"}]}, "invalid", "bad `username`"),
        (500, b"<html>oops</html>", "unavailable", "500"),
        (503, {"title": "Service Unavailable"}, "unavailable", "503"),
        (500, b"[]", "nonsense", "makes no sense"),
        (200, b"<html>hello</html>", "nonsense", "not JSON"),
        (200, b"", "nonsense", "not JSON"),
        (200, b"[]", "nonsense", "not an object"),
        (200, b"7", "nonsense", "not an object"),
        (200, {}, "nonsense", "neither data nor errors"),
        (200, {"errors": [7]}, "nonsense", "unknown error"),
        (200, {"errors": [{"detail": "It is odd."}]}, "nonsense", "It is odd"),
        (200, b'{"data": {"id": "1"', "nonsense", "not JSON"),
        (302, b"", "invalid", "302"),
    ],
)  # fmt: skip
def test_every_odd_response_is_one_line_and_has_its_kind(
    server: Answers, status: int, body: Any, kind: str, words: str
) -> None:
    error = error_of(server, status, body)
    assert error.kind == kind
    assert words in str(error)


def test_partial_errors_beside_data_are_no_refusal(server: Answers) -> None:
    server.answer = (200, {}, b'{"data": [{"id": "1"}], "errors": [{"detail": "a quoted one"}]}')
    assert read()["data"] == [{"id": "1"}]


def test_an_empty_page_is_no_refusal(server: Answers) -> None:
    server.answer = (200, {}, b'{"meta": {"result_count": 0}}')
    assert read() == {"meta": {"result_count": 0}}


RESET = {"x-rate-limit-remaining": "0", "x-rate-limit-reset": str(NOW + 90)}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (RESET, 90),
        ({}, None),
        ({"x-rate-limit-reset": str(NOW + 90)}, 90),
        ({"x-rate-limit-reset": str(NOW - 90)}, -90),
        (
            RESET
            | {"x-rate-limit-remaining": "5", "x-user-limit-24hour-remaining": "0"}
            | {"x-user-limit-24hour-reset": str(NOW + 60_000)},
            60_000,
        ),
        (
            RESET
            | {"x-app-limit-24hour-remaining": "0", "x-app-limit-24hour-reset": str(NOW + 400)},
            400,
        ),
    ],
    ids=["reset", "no header", "reset alone", "past", "a day's limit", "two limits"],
)
def test_a_rate_limit_says_how_long_it_lasts(
    server: Answers, headers: dict[str, str], seconds: int | None
) -> None:
    server.answer = (429, headers, b'{"title": "Too Many Requests"}')
    client: Any = x.client("bearer")
    with pytest.raises(tweepy.TooManyRequests) as raised:
        client.get_users_tweets("7")
    error = x.translate(raised.value)
    resets = None if seconds is None else datetime.fromtimestamp(NOW + seconds, UTC)
    assert (error.kind, error.resets) == ("rate", resets)


def test_a_reset_that_is_no_number_is_nonsense(server: Answers) -> None:
    assert error_of(server, 429, {}, {"x-rate-limit-reset": "soon"}).kind == "nonsense"


def test_a_client_never_waits_for_a_rate_limit(server: Answers) -> None:
    error_of(server, 429, {}, RESET)
    assert len(server.requests) == 1


def test_a_response_that_is_cut_short_is_unavailable(server: Answers) -> None:
    assert error_of(server, 200, b'{"data"', {"Content-Length": "100"}).kind == "unavailable"


def test_x_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_API_URL", "http://127.0.0.1:9")
    with pytest.raises(XError, match="does not answer") as error:
        read()
    assert error.value.kind == "unavailable"


@pytest.mark.parametrize(
    ("status", "body", "headers", "charged"),
    [
        (200, b'{"data"', {"Content-Length": "100"}, True),
        (200, b"<html>hello</html>", {}, True),
        (503, {"title": "Service Unavailable"}, {}, False),
        (429, {"title": "Too Many Requests"}, {}, False),
        (402, {"title": "CreditsDepleted"}, {}, False),
    ],
)
def test_x_may_charge_for_a_response_that_was_lost_or_makes_no_sense(
    server: Answers, status: int, body: Any, headers: dict[str, str], charged: bool
) -> None:
    assert error_of(server, status, body, headers).may_be_charged == charged


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nowhere.invalid"])
def test_x_charges_for_no_request_that_was_not_sent(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("X_API_URL", url)
    with pytest.raises(XError, match="does not answer") as error:
        read()
    assert not error.value.may_be_charged


@pytest.mark.parametrize(
    ("status", "kind"), [(401, UserError), (403, UserError), (429, Unavailable), (503, Unavailable)]
)
def test_whether_a_person_can_mend_a_refusal_is_told_by_its_class(
    status: int, kind: type[Exception]
) -> None:
    response = requests.Response()
    response.status_code, response.reason, response._content = status, "no", b"{}"
    assert isinstance(x.translate(tweepy.HTTPException(response)), kind)


def test_a_mistake_of_our_own_is_not_xs() -> None:
    def broken() -> None:
        raise AssertionError("ours")

    with pytest.raises(AssertionError, match="ours"):
        x.ask(broken)


# Keys


def test_keys_are_parsed_from_their_json() -> None:
    assert Keys.parse(KEYS.model_dump_json()) == KEYS


@pytest.mark.parametrize("value", ["", " \n"])
def test_keys_that_are_not_set_name_the_mend(value: str) -> None:
    with pytest.raises(UserError, match=r"not set.*bots credentials"):
        Keys.parse(value)


@pytest.mark.parametrize(
    "value",
    [
        "sesame",
        "{}",
        '{"api_key": "sesame"}',
        '{"api_key": "sesame", "api_secret": "", "access_token": "a", "access_token_secret": "b"}',
        '["sesame"]',
    ],
)
def test_damaged_keys_name_the_mend_and_show_nothing(value: str) -> None:
    with pytest.raises(UserError, match="bots credentials") as error:
        Keys.parse(value)
    assert "sesame" not in str(error.value)
    assert "\n" not in str(error.value)


def test_keys_do_not_show_in_a_trace() -> None:
    assert repr(KEYS) == "Keys()"


def test_tweepy_still_has_the_host_that_is_replaced() -> None:
    assert 'host = "https://api.twitter.com"' in Path(tweepy.client.__file__).read_text()
