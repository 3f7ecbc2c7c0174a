"""Base images have exact versions, and one command raises them and pins their digests."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TAGS = {
    "python": ["3.11.9-slim-bookworm", "3.11.16-slim-bookworm", "3.11.99-slim-trixie", "3.12.1"],
    "golang": ["1.26.10-bookworm", "1.27.0-bookworm", "1.26-bookworm"],
}
DIGEST = "sha256:" + "ab" * 32


class Hub(BaseHTTPRequestHandler):
    """Docker Hub, as its documents say: a token for anybody who asks, and tags page by page.

    Source: https://distribution.github.io/distribution/spec/auth/token/
    """

    def do_GET(self) -> None:
        host = f"http://{self.headers['Host']}"
        if self.path.startswith("/token"):
            assert "scope=repository:library/" in self.path
            self.answer(200, {"token": "anybody"})
        elif self.headers["Authorization"] != "Bearer anybody":
            name = self.path.split("/")[3]
            challenge = f'realm="{host}/token",service="hub",scope="repository:library/{name}:pull"'
            self.answer(401, {}, {"WWW-Authenticate": f"Bearer {challenge}"})
        elif match := re.match(r"/v2/library/(\w+)/tags/list\?n=\d+(&last=x)?$", self.path):
            half = len(TAGS[match[1]]) // 2
            tags = TAGS[match[1]][half:] if match[2] else TAGS[match[1]][:half]
            link = {} if match[2] else {"Link": f'<{self.path}&last=x>; rel="next"'}
            self.answer(200, {"tags": tags}, link)
        else:
            self.answer(200, {}, {"Docker-Content-Digest": DIGEST})

    do_HEAD = do_GET  # noqa: N815

    def answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def pinned(folder: Path, address: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "tools/pin_images.py"), address]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("dockerfile", sorted(ROOT.glob("*/Dockerfile")), ids=str)
def test_no_base_is_a_tag_that_moves_between_versions(dockerfile: Path) -> None:
    froms = re.findall(r"^FROM (\S+)", dockerfile.read_text(), re.MULTILINE)
    for base in froms:
        assert re.fullmatch(r"\w+:\d+\.\d+\.\d+-[\w-]+(@sha256:\w{64})?", base), base


def test_a_base_is_raised_to_its_newest_patch_release_and_no_further(
    hub: str, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    dockerfile = tmp_path / "a/Dockerfile"
    dockerfile.write_text(
        "FROM golang:1.26.8-bookworm AS tool\n"
        "FROM python:3.11.15-slim-bookworm@sha256:0123\nRUN x\n"
    )
    for _ in range(2):  # pinning again changes nothing
        done = pinned(tmp_path, hub)
        assert done.returncode == 0, done.stderr
        assert dockerfile.read_text() == (
            f"FROM golang:1.26.10-bookworm@{DIGEST} AS tool\n"
            f"FROM python:3.11.16-slim-bookworm@{DIGEST}\nRUN x\n"
        )


def test_without_a_registry_it_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/Dockerfile").write_text("FROM python:3.11.15-slim-bookworm\n")
    done = pinned(tmp_path, "http://127.0.0.1:10")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "a/Dockerfile: cannot read the newest base from http://127.0.0.1:10"
    )
    assert len(done.stderr.splitlines()) == 1
