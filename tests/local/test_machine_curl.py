"""The machine's curl, held to the same as the real one in what train.sh asks of it."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.stacks.recorder import ROOT

REAL = Path("/usr/bin/curl")
# The stand-in makes requests itself only where the host has no curl.
ALONE = "import sys; from local.machine.standins import curl; sys.exit(curl.fetch(sys.argv[1:]))"

Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def server() -> Iterator[str]:
    """Answers a path such as /503/200 with these statuses in turn, and who asked."""
    asked: dict[str, int] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            statuses = self.path.strip("/").split("/")
            turn = asked.get(self.path, 0)
            asked[self.path] = turn + 1
            self.send_response(int(statuses[min(turn, len(statuses) - 1)]))
            self.end_headers()
            self.wfile.write(f"hello {self.headers.get('Authorization')}".encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    double = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=double.serve_forever).start()
    yield f"http://127.0.0.1:{double.server_address[1]}"
    double.shutdown()
    double.server_close()


@pytest.fixture(params=["real", "stand-in"])
def curl(request: pytest.FixtureRequest) -> Ask:
    program = [sys.executable, "-W", "ignore", "-c", ALONE]
    if request.param == "real":
        if not REAL.exists():
            pytest.skip("curl is missing here: apt-get install curl")
        program = [str(REAL)]

    def ask(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [*program, "--silent", "--show-error", *arguments]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
        )

    return ask


@pytest.mark.parametrize("status", ["200", "403", "404"])
def test_the_status_is_printed_and_the_body_goes_to_the_file(curl, server, tmp_path, status):
    file = tmp_path / "body"
    words = ("--output", str(file), "--write-out", "%{http_code}", "--header", "@-")
    done = curl(*words, f"{server}/{status}", stdin="Authorization: Bearer t\n")
    assert (done.returncode, done.stdout) == (0, status)
    assert file.read_text() == "hello Bearer t"


def test_a_server_that_is_busy_is_asked_again(curl, server, tmp_path):
    file = tmp_path / "body"
    done = curl("--retry", "2", "--output", str(file), "--write-out", "%{http_code}",
                f"{server}/503/200")  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "200")
    assert file.read_text() == "hello None"


def test_an_error_is_a_failure_only_where_that_is_asked_for(curl, server):
    assert curl("--fail", f"{server}/404").returncode == 22
    assert curl(f"{server}/404").stdout == "hello None"


def test_no_answer_is_status_000_and_a_failure(curl):
    done = curl("--output", "/dev/null", "--write-out", "%{http_code}", "http://127.0.0.1:9/")
    assert (done.returncode, done.stdout) == (7, "000")
