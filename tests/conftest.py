"""Fixtures that several parts use: a real object store, and the data that lies beside the repo."""

# pyright: reportPrivateUsage=false

import os
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

import pipeline.google
from local.gateway import discovery, iam
from local.gateway.gateway import Gateway
from local.services.secretmanager import api as secretmanager_api
from local.services.secretmanager.secrets import Secrets
from local.services.storage import api as storage_api
from local.services.storage.server import StorageServer
from pipeline.store import Store
from tests.google_api import Google, authenticate

SEED = int(os.environ.get("TEST_SEED", "1"))

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let Hypothesis draw the same values in each run."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = SEED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/loop/", "tests/trainer/")))


def pytest_report_header() -> str:
    return f"TEST_SEED={SEED}"


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Let each test draw the same random values, whichever tests ran before it."""
    random.seed(SEED)


class Misfits:
    """Calls that are not as Google's discovery documents say, in whatever process they were."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = 0

    def take(self) -> list[str]:
        """Those since the last time."""
        lines = self._file.read_text().splitlines()
        new, self._seen = lines[self._seen :], len(lines)
        return new


@pytest.fixture(scope="session")
def all_misfits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Misfits]:
    """Told of by the environment, which a local cloud in the background inherits."""
    file = tmp_path_factory.mktemp("discovery") / "misfits"
    file.touch()
    found = Misfits(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(discovery.FILE, str(file))
        yield found
    assert found.take() == []


@pytest.fixture(autouse=True)
def misfits(all_misfits: Misfits) -> Iterator[Misfits]:
    """Fails the test for each misfit that it did not take, and so expect."""
    yield all_misfits
    assert all_misfits.take() == []


@dataclass
class CloudStorage:
    """The local cloud's gateway over fake-gcs-server, where everybody may do everything."""

    gateway: Gateway
    server: StorageServer

    @property
    def url(self) -> str:
        return self.gateway.url

    def client(self) -> storage.Client:
        return storage.Client(
            project="test",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.url},
        )

    def new_bucket(self, client: Any) -> storage.Bucket:
        name = f"test-{uuid.uuid4().hex[:20]}"
        self.server.create_bucket(name)
        return client.bucket(name)


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudStorage]:
    """Cloud Storage for as long as the test session lives."""
    folder = tmp_path_factory.mktemp("gcs")
    server = StorageServer(folder / "objects")
    server.start()
    grant = iam.Grant(iam.ALL_USERS, "roles/storage.admin", "projects/test")
    gateway = Gateway(0, "test")
    cloud_storage = storage_api.CloudStorage(
        server,
        iam.Policy(lambda: [grant], dict),
        lambda: datetime(2026, 11, 23, 8, tzinfo=UTC),
        lambda attributes, metadata: None,
    )
    gateway.serve(storage_api.PATH, cloud_storage.respond, anonymous=True)
    gateway.start()
    yield CloudStorage(gateway, server)
    gateway.stop()
    server.kill()


@pytest.fixture
def gcs_environment(gcs: CloudStorage) -> dict[str, str]:
    """What a program started by a test needs so that `Store.open` finds the fake server."""
    return {"STORAGE_EMULATOR_HOST": gcs.url, "GOOGLE_CLOUD_PROJECT": "test"}


@pytest.fixture
def bucket_factory(gcs: CloudStorage) -> Iterator[Callable[[], storage.Bucket]]:
    """Makes new, empty buckets; `Store(bucket_factory())` is a store of one's own."""
    client = gcs.client()
    yield lambda: gcs.new_bucket(client)
    client.close()


@pytest.fixture
def store(bucket_factory: Callable[[], storage.Bucket]) -> Store:
    """A new, empty bucket in the fake server."""
    return Store(bucket_factory(), timeout=5)


@dataclass
class SecretManager:
    """The local cloud's Secret Manager; `environment` makes a program an account of it."""

    gateway: Gateway
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
    gateway = Gateway(0, "test")
    api = secretmanager_api.SecretManager("test", iam.Policy(lambda: grants, dict), secrets)
    gateway.serve(secretmanager_api.PATH, api.respond)
    gateway.start()
    environment = gateway.identity("program", email) | {"CLOUDSDK_CONFIG": os.devnull}
    del environment["API_ENDPOINT_OVERRIDE"]  # Cloud Storage is another server here
    yield SecretManager(gateway, secrets, grants, environment)
    gateway.stop()


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
    authenticate(monkeypatch, AnonymousCredentials(), "p")
    retries = pipeline.google._RETRIES.new(backoff_factor=0)
    monkeypatch.setattr(pipeline.google, "_RETRIES", retries)
    yield double
    double.close()
