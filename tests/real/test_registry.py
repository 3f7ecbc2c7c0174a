"""The registry's client against Docker's own registry."""

# pyright: reportPrivateUsage=false

import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping

import pytest
import requests
from google.auth.credentials import AnonymousCredentials

from control_image.registry import Registry
from tests.google_api import authenticate
from tests.registry_contract import moves_tags, refuses

pytestmark = pytest.mark.real
NAME = "europe-west4-docker.pkg.dev/project/bots"
DOCKER = "application/vnd.docker"
OCI = "application/vnd.oci.image"
TYPES = {
    "docker": (f"{DOCKER}.distribution.manifest.v2+json", f"{DOCKER}.container.image.v1+json"),
    "oci": (f"{OCI}.manifest.v1+json", f"{OCI}.config.v1+json"),
}
LISTS = {
    "docker": f"{DOCKER}.distribution.manifest.list.v2+json",
    "oci": f"{OCI}.index.v1+json",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that asks for no credentials, as Debian packages it."""
    program = shutil.which("docker-registry")
    if program is None:
        missing = "docker-registry is not installed: apt-get install docker-registry"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "config.json"
    storage = {"filesystem": {"rootdirectory": str(folder / "storage")}}
    config.write_text(
        json.dumps({"version": 0.1, "storage": storage, "http": {"addr": f"127.0.0.1:{port}"}})
    )
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                requests.get(f"{url}/v2/", timeout=5).raise_for_status()
                break
            except requests.RequestException:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield url
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def registry(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("REGISTRY_ENDPOINT_OVERRIDE", address)
    authenticate(monkeypatch, AnonymousCredentials(), "p")
    made = Registry(NAME)
    yield made
    made._session.close()


def put_blob(url: str, data: bytes) -> str:
    """As a push does: begin an upload, and end it with the content."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    begun = requests.post(f"{url}/blobs/uploads/", timeout=30)
    assert begun.status_code == 202
    done = requests.put(begun.headers["Location"], params={"digest": digest}, data=data, timeout=30)
    assert done.status_code == 201
    return digest


def put(url: str, tag: str, document: Mapping[str, object]) -> tuple[str, int]:
    """A manifest under a tag, or under its digest where there is none."""
    data = json.dumps(document).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    headers = {"Content-Type": str(document["mediaType"])}
    answer = requests.put(
        f"{url}/manifests/{tag or digest}", data=data, headers=headers, timeout=30
    )
    assert answer.status_code == 201, answer.text
    return digest, len(data)


def push(address: str, image: str, tag: str, kind: str) -> tuple[str, int]:
    """An image of one layer."""
    url = f"{address}/v2/project/bots/{image}"
    type_, config_type = TYPES[kind]
    config, layer = json.dumps({"tag": tag}).encode(), f"layer of {tag}".encode()
    document = {
        "schemaVersion": 2,
        "mediaType": type_,
        "config": {
            "mediaType": config_type,
            "size": len(config),
            "digest": put_blob(url, config),
        },
        "layers": [
            {
                "mediaType": f"{DOCKER}.image.rootfs.diff.tar.gzip"
                if kind == "docker"
                else f"{OCI}.layer.v1.tar+gzip",
                "size": len(layer),
                "digest": put_blob(url, layer),
            }
        ],
    }
    return put(url, tag, document)


@pytest.mark.parametrize("kind", ["docker", "oci"])
def test_a_tag_moves_between_manifests(registry: Registry, address: str, kind: str) -> None:
    for tag in ("1", "2"):
        push(address, f"keeper-{kind}", tag, kind)
    moves_tags(registry, f"keeper-{kind}", "1", "2")
    refuses(registry, f"keeper-{kind}", "1")


@pytest.mark.parametrize("kind", ["docker", "oci"])
def test_a_tag_moves_from_a_seed_to_a_release(registry: Registry, address: str, kind: str) -> None:
    image = f"seeded-{kind}"
    digest, size = push(address, image, "base", kind)
    platform = {"architecture": "amd64", "os": "linux"}
    entry = {"mediaType": TYPES[kind][0], "size": size, "digest": digest, "platform": platform}
    index = {"schemaVersion": 2, "mediaType": LISTS[kind], "manifests": [entry]}
    put(f"{address}/v2/project/bots/{image}", "seed", index)
    push(address, image, "release", kind)
    moves_tags(registry, image, "seed", "release")
