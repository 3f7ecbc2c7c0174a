"""The app as its image starts it: a process, an environment, a folder with a model."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage

from pipeline import slots
from pipeline.store import Store
from tests.conftest import SecretManager
from tests.local.faults import FaultyX, Kind

REPOSITORY = Path(__file__).resolve().parents[2]
SLOT = "20261123T0800Z"  # 9 o'clock in Paris


@dataclass
class Image:
    """The working folder of a container, and its environment."""

    folder: Path
    environment: dict[str, str]
    store: Store
    x: FaultyX
    secrets: SecretManager
    lines: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def run(self, *arguments: str, **environment: str) -> int:
        """Run it and return the exit status; `lines` has its output, of which each line is JSON."""
        done = subprocess.run(
            [sys.executable, *(arguments if arguments[0] == "-c" else ("-m", "app", *arguments))],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.stderr == ""
        self.lines = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode

    @property
    def line(self) -> dict[str, Any]:
        (line,) = self.lines
        return line


@pytest.fixture
def x_server(tmp_path: Path) -> Iterator[FaultyX]:
    server = FaultyX(tmp_path / "x", lambda: datetime(2026, 11, 23, 8, 0, 5, tzinfo=UTC))
    server.start()
    server.add_user("lampkeeper")
    yield server
    server.stop()


@pytest.fixture
def image(
    tmp_path: Path,
    model_folder: Path,
    gcs_environment: dict[str, str],
    bucket_factory: Callable[[], storage.Bucket],
    x_server: FaultyX,
    secret_manager: SecretManager,
) -> Image:
    folder = tmp_path / "srv"
    folder.mkdir()
    for package in ("app", "pipeline"):
        (folder / package).symlink_to(REPOSITORY / package)
    shutil.copytree(model_folder, folder / "model")
    bucket: Any = bucket_factory()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        **secret_manager.environment,
        **gcs_environment,
        "X_API_URL": x_server.url,
        "CLOCK": "2026-11-23T08:00:05+00:00",
        "ACCOUNT": "keeper",
        "DATA_BUCKET": bucket.name,
        "SCHEDULE": "0 9 * * *",
        "TIME_ZONE": "Europe/Paris",
        "POSTS_USD_PER_MONTH": "5",
        "TASK_TIMEOUT": "600",
        "X_KEYS_SECRET": secret_manager.give("keys", json.dumps(x_server.issue_keys("lampkeeper"))),
        "RELEASE": "20261122T101500Z-0123abcd",
        "CLOUD_RUN_EXECUTION": "local-keeper-post-1",
    }
    return Image(folder, environment, Store(bucket), x_server, secret_manager)


def test_a_run_posts_what_the_model_wrote_and_the_next_run_posts_nothing(image: Image) -> None:
    assert image.run("post") == 0
    (post,) = image.x.posts("lampkeeper")
    found = slots.read(image.store, "keeper", SLOT)
    assert found is not None
    record = found[0]
    assert (record.state, record.text, record.id) == ("posted", post.text, post.id)
    assert record.release == "20261122T101500Z-0123abcd"
    assert image.line["severity"] == "INFO"
    assert image.run("post", CLOUD_RUN_EXECUTION="another") == 0
    assert "already" in image.line["message"]
    assert len(image.x.posts("lampkeeper")) == 1


def test_without_a_model_it_says_so_and_succeeds(image: Image) -> None:
    shutil.rmtree(image.folder / "model")
    assert image.run("post") == 0
    assert "no model" in image.line["message"]
    assert image.x.posts("lampkeeper") == []


def test_the_self_test_accepts_a_model_that_writes_and_needs_nothing_else(image: Image) -> None:
    image.environment = {"PATH": image.environment["PATH"]}
    assert image.run("self-test") == 0
    assert "works" in image.line["message"]


@pytest.mark.parametrize("file", ["model.bin", "encoder.json", "shingles.bin"])
def test_the_self_test_refuses_a_broken_model_in_one_line(image: Image, file: str) -> None:
    (image.folder / "model" / file).write_bytes(b"broken!")
    assert image.run("self-test") == 1
    assert "model" in image.line["message"]


def test_the_self_test_refuses_a_model_that_writes_nothing_usable(image: Image) -> None:
    code = (
        "import sys; from app import __main__ as m; from pipeline import generation as g;"
        "g.Model.candidates = lambda self: [g.Candidate('see example.com', True, -1.0)] * 32;"
        "sys.argv[1:] = ['self-test']; sys.exit(m.main())"
    )
    assert image.run("-c", code) == 1
    assert "none of 96 texts may be posted: link 96" in image.line["message"]


@pytest.mark.parametrize("keys", ["", '{"api_key": "secret-value"}'])
def test_missing_keys_are_one_line_that_names_the_command_and_shows_no_secret(
    image: Image, keys: str
) -> None:
    image.secrets.give("keys", keys)
    assert image.run("post") == 1
    assert "bots credentials" in image.line["message"]
    assert "secret-value" not in image.line["message"]
    assert slots.read(image.store, "keeper", SLOT) is None


def test_keys_that_the_program_may_not_read_are_one_line_that_names_secret_and_grant(
    image: Image,
) -> None:
    image.secrets.grants.clear()
    assert image.run("post") == 1
    assert "projects/test/secrets/keys" in image.line["message"]
    assert "secretmanager.versions.access" in image.line["message"]
    assert slots.read(image.store, "keeper", SLOT) is None


def test_a_missing_environment_value_is_one_line(image: Image) -> None:
    del image.environment["SCHEDULE"]
    assert image.run("post") == 1
    assert "SCHEDULE" in image.line["message"]


def test_a_malformed_schedule_is_one_line(image: Image) -> None:
    assert image.run("post", SCHEDULE="at nine") == 1
    assert "'at nine'" in image.line["message"]


def test_an_unknown_command_is_one_line(image: Image) -> None:
    assert image.run("tweet") == 2
    assert "post|serve|self-test" in image.line["message"]


@pytest.mark.parametrize("kind", ["401", "402", "403", "429", "usage-cap"])
def test_a_refusal_of_x_fails_the_execution_in_one_line_and_loses_nothing(
    image: Image, kind: Kind
) -> None:
    image.x.fail_next(kind)
    assert image.run("post") == 1
    assert image.line["severity"] == "ERROR"
    assert image.run("post", CLOUD_RUN_EXECUTION="another") == 0
    assert len(image.x.posts("lampkeeper")) == 1


def test_storage_that_does_not_answer_is_one_line(image: Image) -> None:
    assert image.run("post", DATA_BUCKET="no-such-bucket") == 1
    assert "no-such-bucket" in image.line["message"]


def test_tensorflow_is_never_imported(image: Image) -> None:
    """The image has no TensorFlow, so the app must work where importing it fails."""
    code = (
        "import sys; sys.modules['tensorflow'] = None;"
        "from app.__main__ import main; sys.argv[1:] = ['self-test']; status = main();"
        "heavy = {'tensorflow', 'gpt_2_simple', 'torch', 'trainer_image', 'stacks', 'local'};"
        "loaded = {m.partition('.')[0] for m, there in sys.modules.items() if there} & heavy;"
        "sys.exit(status or bool(loaded))"
    )
    assert image.run("-c", code) == 0
