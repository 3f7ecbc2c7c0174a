"""The checks of what the program needs on this machine."""

import json
import socket
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

from pipeline.errors import UserError
from stacks import stack_file, surroundings
from stacks.config import Stack
from tests.local.engine import Engine
from tests.stacks.environments import everything
from tests.stacks.recorder import ROOT, stack_values

REGISTRY = "europe-west4-docker.pkg.dev"


def stack(name: str, **values: object) -> Stack:
    more = {f"gpt2-bots:{key}": value for key, value in values.items()}
    return stack_file.load(name, stack_values(name) | more)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without Docker; returns the folder of Docker's settings."""
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", surroundings.ATTACHED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


class _Daemon(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/_ping" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def address_string(self) -> str:
        return "unix"


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A daemon that only answers pings."""
    file = tmp_path / "d.sock"
    server = ThreadingUnixStreamServer(str(file), _Daemon)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{file}")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def login(folder: Path, **settings: object) -> None:
    (folder / "config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"])
@pytest.mark.parametrize("preview", [True, False])
def test_the_error_for_a_missing_daemon_is_one_line_with_both_remedies(
    monkeypatch: pytest.MonkeyPatch, bare: Path, host: str, preview: bool
) -> None:
    login(bare, auths={REGISTRY: {}})
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(UserError) as error:
        surroundings.check(stack("dev"), {}, preview=preview)
    said = str(error.value)
    assert host in said
    assert "start Docker" in said
    assert "gpt2-bots:images" in said
    assert "\n" not in said


def test_a_socket_that_nobody_listens_on_is_not_a_daemon(
    monkeypatch: pytest.MonkeyPatch, bare: Path
) -> None:
    login(bare, auths={REGISTRY: {}})
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(bare / "left.sock"))
        monkeypatch.setenv("DOCKER_HOST", f"unix://{bare / 'left.sock'}")
        with pytest.raises(UserError, match="no Docker daemon answers"):
            surroundings.check(stack("dev"), {}, preview=False)


def test_images_by_digest_need_no_daemon(bare: Path) -> None:
    login(bare, auths={REGISTRY: {}})
    images = everything()["gpt2-bots:images"]
    surroundings.check(stack("dev", images=images), {"docker:host": "unix:///no"}, preview=False)


@pytest.mark.usefixtures("daemon")
def test_missing_credentials_are_one_line_of_error_and_in_a_preview_a_warning(bare: Path) -> None:
    without: list[dict[str, Any]] = [{}, {"auths": {"docker.io": {}}}, {"credsStore": "desktop"}]
    for settings in without:
        login(bare, **settings)
        with pytest.raises(UserError) as error:
            surroundings.check(stack("dev"), {}, preview=False)
        assert f"gcloud auth configure-docker {REGISTRY}" in str(error.value)
        assert "\n" not in str(error.value)
        surroundings.check(stack("dev"), {}, preview=True)


@pytest.mark.usefixtures("daemon")
def test_a_login_or_an_existing_helper_is_enough(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login(bare, auths={f"https://{REGISTRY}": {}})
    surroundings.check(stack("dev"), {}, preview=False)
    login(bare, credHelpers={REGISTRY: "gcloud"})
    monkeypatch.setenv("PATH", str(bare))
    with pytest.raises(UserError, match=r"docker-credential-gcloud, .*, is not on PATH"):
        surroundings.check(stack("dev"), {}, preview=False)
    helper = bare / "docker-credential-gcloud"
    helper.write_text("#!/bin/sh\n")
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
    surroundings.check(stack("dev"), {}, preview=False)


def test_credentials_in_the_stack_file_are_enough(bare: Path) -> None:
    images = everything()["gpt2-bots:images"]
    given = {"docker-build:registries": "[]"}
    surroundings.check(stack("dev", images=images), given, preview=False)


def test_the_local_stack_needs_an_engine_with_the_local_providers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UserError, match=r"run `python -m local pulumi up --stack local`$"):
        surroundings.check(stack("local"), {}, preview=True)
    monkeypatch.setenv(surroundings.ATTACHED, "docker:7001,docker-build:7002,gcp:7003")
    surroundings.check(stack("local"), {}, preview=True)


PROGRAM = f"""
import json
import os
import sys
sys.path.insert(0, {str(ROOT)!r})
from pipeline.errors import UserError
from stacks import stack_file, surroundings
stack = stack_file.load("local", json.loads(pulumi.Config("test").require("values")))
try:
    surroundings.check(stack, {{}}, preview=pulumi.runtime.is_dry_run())
except UserError as error:
    raise pulumi.RunError(str(error))
"""


def test_the_real_engine_passes_on_whether_the_local_cloud_is_attached(
    tmp_path: Path,
) -> None:
    engine = Engine(tmp_path, {})
    try:
        text = json.dumps(json.dumps(stack_values("local")))
        engine.configure(f"config:\n  gcp:project: p1\n  test:values: {text}\n")
        engine.program(PROGRAM)
        # The engine has the ports of all three providers, even of those without any types.
        assert engine.preview().status == 0
        engine.providers.ports.pop("gcp")
        refused = engine.preview()
        assert refused.status != 0
        assert "python -m local pulumi up --stack local" in refused.text
        assert "Traceback" not in refused.text
    finally:
        engine.providers.stop()
