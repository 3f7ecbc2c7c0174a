"""Debian's docker-registry behind Artifact Registry's name, TLS and way to say who one is.

A front takes what Artifact Registry takes, `Authorization: Bearer <token>` or Basic with the user
`oauth2accesstoken`, and refuses who may not do what the call does. All that a registry does is
docker-registry's own.

Source: https://cloud.google.com/artifact-registry/docs/docker/authentication
"""

import base64
import contextlib
import http.client
import ssl
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from tests.real.tools import need

HOST = "europe-west4-docker.pkg.dev"
READ, WRITE = (
    "artifactregistry.repositories.downloadArtifacts",
    ("artifactregistry.repositories.uploadArtifacts"),
)
_HOP = {"connection", "host", "authorization", "transfer-encoding"}
_PIECE = 1 << 20
_CONFIGURATION = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: false}}}}
http: {{addr: "127.0.0.1:{port}", relativeurls: true}}
"""

Permit = Callable[[str, str, str], bool]
"""Whether the bearer of a token has a permission on a repository, `project/repository`."""


@dataclass
class Registry:
    """A registry that runs.

    Attributes:
        address: Where it is on this machine, at port 443.
        certificate: By which its name is known to be its own.
        permit: Who may do what; a test with grants sets it.
    """

    address: str
    certificate: Path
    permit: Permit = lambda token, permission, repository: False


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the registry's name and its key, signed by nobody else."""
    need("openssl")
    key, cert = folder / "key.pem", folder / "ca.crt"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@contextlib.contextmanager
def serve(folder: Path, address: str, port: int) -> Generator[Registry]:
    """The registry at port 443 of a loopback address; `port` is its own behind that."""
    need("docker-registry")
    cert, key = certificate(folder)
    registry = Registry(address, cert)
    file = folder / "registry.yml"
    file.write_text(_CONFIGURATION.format(data=folder / "images", port=port))
    with (folder / "registry.log").open("w") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(file)], stdout=log, stderr=log)

    class BoundFront(_Front):
        upstream = port

        def permits(self, token: str, permission: str, repository: str) -> bool:
            return registry.permit(token, permission, repository)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = ThreadingHTTPServer((address, 443), BoundFront)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        _wait(process, port)
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        process.terminate()
        process.wait(20)


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    for _ in range(200):
        assert process.poll() is None
        with contextlib.suppress(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}/v2/", timeout=5)
            return
        threading.Event().wait(0.05)
    raise AssertionError("docker-registry does not answer")


class _Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: int

    def permits(self, token: str, permission: str, repository: str) -> bool:
        """Whether the token's bearer has the permission."""
        raise NotImplementedError

    def answer(self) -> None:
        """Pass a call on, or refuse it; a body is passed on piece by piece."""
        body = self._body()
        refusal = self._refusal()
        if refusal:
            for _ in body or ():
                pass
            self._refuse(*refusal)
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=120)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        headers |= {"Host": HOST, "X-Forwarded-Proto": "https"}
        chunked = "Content-Length" not in headers and body is not None
        connection.request(self.command, self.path, body, headers, encode_chunked=chunked)
        self._return(connection.getresponse())
        connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def _refusal(self) -> tuple[int, str] | None:
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        token = given
        if kind == "Basic":
            user, _, token = base64.b64decode(given).decode().partition(":")
            token = token if user == "oauth2accesstoken" else ""
        if not token:
            return 401, "UNAUTHORIZED"
        parts = self.path.split("/")
        if len(parts) < 5:
            return None  # /v2/ alone asks who one is
        reads = self.command in {"GET", "HEAD"}
        if self.permits(token, READ if reads else WRITE, "/".join(parts[2:4])):
            return None
        return 403, "DENIED"

    def _refuse(self, status: int, code: str) -> None:
        said = f'{{"errors": [{{"code": "{code}", "message": "{self.command} {self.path}"}}]}}'
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", f'Basic realm="{HOST}"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said.encode())

    def _return(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        if answer.getheader("Content-Length") is None:
            self.send_header("Content-Length", "0")
        self.end_headers()
        while piece := answer.read(_PIECE):
            self.wfile.write(piece)

    def _body(self) -> Iterator[bytes] | None:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        length = int(self.headers.get("Content-Length", "0"))
        return self._piece(length) if length else None

    def _piece(self, left: int) -> Iterator[bytes]:
        while left:
            piece = self.rfile.read(min(left, _PIECE))
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass
