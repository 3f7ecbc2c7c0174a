"""The process that keeps the objects: it outlives nobody, and loses nothing."""

# pyright: reportPrivateUsage=false

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from local.services.storage.server import StorageServer
from pipeline.errors import UserError

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StorageServer]:
    started = StorageServer(tmp_path / "objects")
    started.start()
    yield started
    started.kill()


def put(server: StorageServer, name: str, data: bytes) -> None:
    path = f"/upload/storage/v1/b/bkt/o?uploadType=media&name={name}"
    requests.post(server.upstream + path, data=data, timeout=10).raise_for_status()


def get(server: StorageServer, name: str) -> bytes:
    path = f"/storage/v1/b/bkt/o/{name}?alt=media"
    return requests.get(server.upstream + path, timeout=10).content


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def process_of(server: StorageServer) -> int:
    assert server._supervisor
    supervisor = server._supervisor.pid
    return int(Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text())


def test_buckets_are_made_emptied_and_deleted(server: StorageServer) -> None:
    server.create_bucket("bkt")
    server.create_bucket("bkt")
    assert server.exists("bkt")
    assert not server.exists("other")
    assert server.bucket_empty("bkt", NOW)
    put(server, "folder%2Fü", b"one")
    assert not server.bucket_empty("bkt", NOW)
    with pytest.raises(UserError, match="must be empty"):
        server.delete_bucket("bkt")
    server.clear_bucket("bkt")
    server.delete_bucket("bkt")
    assert not server.exists("bkt")


def test_a_killed_server_comes_back_on_its_port_with_all_objects(server: StorageServer) -> None:
    server.create_bucket("bkt")
    put(server, "o", b"one")
    before = server.upstream
    os.kill(process_of(server), signal.SIGKILL)
    server.ensure()
    assert server.upstream == before
    assert get(server, "o") == b"one"


def test_ensuring_a_server_that_runs_changes_nothing(server: StorageServer) -> None:
    before = process_of(server)
    server.ensure()
    assert process_of(server) == before


def test_a_server_that_is_down_is_one_clear_line(server: StorageServer) -> None:
    server.kill()
    with pytest.raises(UserError, match="does not answer"):
        server.exists("bkt")


def test_the_server_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    server = StorageServer(tmp_path / "objects")
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    try:
        server.create_bucket("bkt")
        assert server.exists("bkt")
    finally:
        server.kill()


def test_the_server_ends_with_its_parent_and_holds_none_of_its_pipes(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time; from local.services.storage.server import StorageServer;"
        "server = StorageServer(pathlib.Path(sys.argv[1])); server.start();"
        "print(server.upstream, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "objects")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout is not None
    port = int(parent.stdout.readline().strip().rpartition(":")[2])
    assert answers(port)
    parent.kill()
    parent.communicate(timeout=10)  # returns only when nobody holds the pipe any more
    deadline = time.monotonic() + 10
    while answers(port) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not answers(port)
