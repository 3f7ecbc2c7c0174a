"""Requests as curl and its stand-in, for hosts that have none, make them."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local.gateway.server import Request, Response, Server

CONTRACTS = {"local/containers/standins/curl.py": "curl, where the host has it"}

CURL = shutil.which("curl")
STAND_IN = (
    "import sys; from local.containers.standins import curl; sys.exit(curl.fetch(sys.argv[1:]))"
)


@dataclass
class Double:
    """Responds by path, and remembers the requests."""

    url: str = ""
    asked: list[str] = field(default_factory=list[str])
    failures: int = 0

    def respond(self, request: Request) -> Response:
        kind = request.headers.get("Content-Type", "")
        body = request.body.read().decode()
        own = request.headers.get("Metadata-Flavor", "") or request.headers.get("Authorization", "")
        self.asked.append(f"{request.method} {request.path} {kind} {body} {own}".strip())
        if request.path == "/moved":
            return Response(302, b"gone\n", [("Location", f"{self.url}/there")])
        if request.path == "/flaky" and self.failures:
            self.failures -= 1
            return Response(503, b"busy\n")
        if request.path == "/absent":
            return Response(404, b"nothing\n")
        return Response(200, b"here\n")


@pytest.fixture
def double() -> Iterator[Double]:
    double = Double()
    server = Server(0, double.respond)
    server.start()
    double.url = server.url
    yield double
    server.stop()


Curl = Callable[..., tuple[int, str, str]]


@pytest.fixture(params=["stand-in", "real"])
def curl(request: pytest.FixtureRequest) -> Curl:
    if request.param == "real" and CURL is None:
        pytest.skip("real curl: it is not here")
    command = [str(CURL)] if request.param == "real" else [sys.executable, "-c", STAND_IN]

    def curl(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        ran = subprocess.run(
            [*command, *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        return ran.returncode, ran.stdout, ran.stderr

    return curl


@pytest.mark.parametrize(
    ("flags", "path", "status", "out"),
    [
        ("-sSf", "/here", 0, "here\n"),
        ("-sSf", "/absent", 22, ""),
        ("-sS", "/absent", 0, "nothing\n"),
        ("-sS", "/moved", 0, "gone\n"),
        ("-sSL", "/moved", 0, "here\n"),
        ("-sSf", "/moved", 0, "gone\n"),
    ],
)
def test_the_status_and_what_is_printed(
    curl: Curl, double: Double, flags: str, path: str, status: int, out: str
) -> None:
    ended, printed, complained = curl(flags, double.url + path)
    assert (ended, printed) == (status, out)
    assert complained.startswith("curl: (22) ") == (status == 22)


def test_what_is_sent(curl: Curl, double: Double) -> None:
    flavor = ("--header", "Metadata-Flavor: Google")
    assert curl("-s", *flavor, double.url + "/a")[0] == 0
    assert curl("-s", "-d", "x=1", double.url + "/b")[0] == 0
    assert (
        curl("-s", "-X", "PUT", "-H", "Content-Type: text/x", "-d", "1", double.url + "/c")[0] == 0
    )
    assert double.asked == [
        "GET /a   Google",
        "POST /b application/x-www-form-urlencoded x=1",
        "PUT /c text/x 1",
    ]


@pytest.mark.parametrize(("path", "written"), [("/here", "here\n"), ("/absent", None)])
def test_a_file_is_written_where_there_is_something(
    curl: Curl, double: Double, tmp_path: Path, path: str, written: str | None
) -> None:
    file = tmp_path / "file"
    assert curl("-sf", "-o", str(file), double.url + path)[1] == ""
    assert (file.read_text() if file.exists() else None) == written


@pytest.mark.parametrize(
    ("path", "status", "body"), [("/here", "200", "here\n"), ("/absent", "404", "nothing\n")]
)
def test_the_status_is_printed_and_the_body_goes_to_the_file(
    curl: Curl, double: Double, tmp_path: Path, path: str, status: str, body: str
) -> None:
    """As train.sh asks for objects, with the token on standard input."""
    file = tmp_path / "file"
    ask = ("-sS", "--output", str(file), "--write-out", "%{http_code}", "--header", "@-")
    ended, printed, _ = curl(*ask, double.url + path, stdin="Authorization: Bearer t\n")
    assert (ended, printed, file.read_text()) == (0, status, body)
    assert double.asked == [f"GET {path}   Bearer t"]


@pytest.mark.parametrize(
    ("failures", "path", "status", "calls"),
    [(1, "/flaky", 0, 2), (2, "/flaky", 22, 2), (0, "/absent", 22, 1)],
)
def test_what_may_pass_is_tried_again(
    curl: Curl, double: Double, failures: int, path: str, status: int, calls: int
) -> None:
    double.failures = failures
    assert curl("-sSf", "--retry", "1", double.url + path)[0] == status
    assert len(double.asked) == calls


@pytest.mark.parametrize(
    ("host", "flags", "status"),
    [("refuses", [], 7), ("silent", ["--max-time", "0.2"], 28), ("nowhere.invalid", [], 6)],
)
def test_the_reason_of_a_failed_request(
    curl: Curl, host: str, flags: list[str], status: int
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if host == "silent":
            taken.listen()
        port = taken.getsockname()[1]
        address = host if "." in host else "127.0.0.1"
        ended, _, complained = curl("-sS", *flags, f"http://{address}:{port}/")
        assert (ended, complained.split(")")[0]) == (status, f"curl: ({status}")
        assert curl("-s", *flags, f"http://{address}:{port}/")[1:] == ("", "")
        told = curl(
            "-s", "-o", "/dev/null", "-w", "%{http_code}", *flags, f"http://{address}:{port}/"
        )
        assert told == (status, "000", "")
