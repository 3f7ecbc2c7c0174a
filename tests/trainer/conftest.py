"""A world to train in: two buckets, made-up tweets, the tiny base model and a mounted folder."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.samples import base, grammar
from pipeline import layout, release
from pipeline.release import Manifest
from pipeline.runs import Outcome, RunResult, read_result
from pipeline.store import Store
from pipeline.tweets import Tweet, to_jsonl
from tests.conftest import CloudStorage
from tests.pipeline.curating import declare

ROOT = Path(__file__).resolve().parents[2]

# The stack file's settings for the tiny model.
REAL = {
    "base_model": "tiny",
    "steps": 210,
    "learning_rate": 0.002,
    "batch_size": 16,
    "window": 64,
    "save_every": 30,
}
# Enough to go through every step of a training, too little to learn anything.
FAST = REAL | {"steps": 2, "batch_size": 1, "window": 16, "save_every": 1, "min_tweets": 20}

NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class World:
    """`start` and `train` take training settings and further environment variables."""

    data: Store
    models: Store
    mount: Path
    base: Path
    cloud: dict[str, str] = field(repr=False)

    def collect(self, account: str, texts: Sequence[str], first_id: int = 1000) -> None:
        """Store a segment of tweets, with ids from `first_id` on."""
        start = datetime(2026, 1, 1, tzinfo=UTC)
        tweets = [
            Tweet(
                id=str(first_id + i),
                text=text,
                created_at=start + timedelta(hours=i),
                source="archive",
            )
            for i, text in enumerate(texts)
        ]
        name = f"{layout.segments(account)}{first_id}.jsonl"
        self.data.write(name, to_jsonl(tweets), generation=0)

    def declare(self, *accounts: str) -> None:
        """Declare accounts as the Pulumi program does."""
        for account in accounts:
            self.models.write(layout.base_pointer(account), b"{}", generation=0)
            declare(self.data, account)

    def environment(self, settings: dict[str, Any]) -> dict[str, str]:
        return {
            **os.environ,
            **self.cloud,
            "DATA_BUCKET": self.data.bucket_name,
            "MODELS_BUCKET": self.models.bucket_name,
            "MODELS_MOUNT": str(self.mount),
            "BASE_MODELS": str(self.mount / "ahead"),
            "SETTINGS": json.dumps(settings),
            "REQUIRE_GPU": "",
            "MAX_RUN_SECONDS": "3600",
            "KEEP_RELEASES": "2",
        }

    def remount(self) -> None:
        """Bring the mounted folder up to date.

        Stands in for gcsfuse by copying, so it cannot show how reading over the network behaves.
        """
        for name in self.models.names("releases/"):
            path = self.mount / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                self.models.download(name, path)

    def start(
        self, run: str, settings: dict[str, Any] = FAST, more: Mapping[str, str] = NONE
    ) -> subprocess.Popen[str]:
        self.remount()
        return subprocess.Popen(
            [sys.executable, "-m", "trainer_image", "train", run],
            cwd=ROOT,
            env={**self.environment(settings), **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def train(
        self, run: str, settings: dict[str, Any] = FAST, more: Mapping[str, str] = NONE
    ) -> "Finished":
        with self.start(run, settings, more) as process:
            output, errors = process.communicate(timeout=300)
        return Finished(process.returncode, _lines(output), errors, read_result(self.models, run))

    def copy_to(self, other: "World", prefix: str) -> None:
        """Copy the objects below `prefix` into another world's models bucket."""
        for name in self.models.names(prefix):
            found = self.models.read(name)
            assert found
            other.models.write(name, found.data, generation=0)

    def releases(self, account: str) -> list[Manifest]:
        return release.list_releases(self.models, account)

    def live(self, account: str) -> str | None:
        found = release.read_live(self.models, account)
        return found[0].release if found else None


@dataclass(frozen=True)
class Finished:
    status: int
    lines: list[dict[str, Any]]
    errors: str
    result: RunResult | None

    @property
    def accounts(self) -> dict[str, Outcome]:
        assert self.result, (self.lines, self.errors)
        return self.result.accounts

    def __getitem__(self, account: str) -> Outcome:
        return self.accounts[account]


def _lines(output: str) -> list[dict[str, Any]]:
    """Parse the log. Every line must be JSON: what gpt-2-simple prints must not appear."""
    return [json.loads(line) for line in output.splitlines()]


def processes_of(folder: Path) -> dict[int, str]:
    """The command lines that contain `folder`, by process id."""
    found: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found[int(process.parent.name)] = command
    return found


@pytest.fixture(scope="session")
def base_model() -> Path:
    return base.cached(ROOT)


@pytest.fixture(scope="session")
def make_world(
    gcs: CloudStorage, base_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], World]]:
    client = gcs.client()

    def make() -> World:
        mount = tmp_path_factory.mktemp("mount")
        shutil.copytree(base_model, mount / layout.base_model("tiny"))
        data, models = (Store(gcs.new_bucket(client), timeout=5) for _ in range(2))
        cloud = {"STORAGE_EMULATOR_HOST": gcs.url, "GOOGLE_CLOUD_PROJECT": "test"}
        return World(data, models, mount, base_model, cloud)

    yield make
    client.close()


@pytest.fixture
def world(make_world: Callable[[], World]) -> World:
    return make_world()


@dataclass(frozen=True)
class Trained:
    world: World
    finished: Finished


@pytest.fixture
def without_tensorflow(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which importing TensorFlow fails."""
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('TensorFlow was imported')")
    return {"PYTHONPATH": str(tmp_path)}


@pytest.fixture(scope="session")
def trained(make_world: Callable[[], World]) -> Trained:
    """Both sample accounts, trained by the trainer's own program (half a minute)."""
    world = make_world()
    world.declare(*grammar.VOICES)
    for voice in grammar.VOICES:
        world.collect(voice, grammar.tweets(voice))
    return Trained(world, world.train("first", REAL))


@pytest.fixture
def keeper_live(trained: Trained, world: World) -> World:
    """A new world in which the trained keeper is live; the run was named "first"."""
    world.declare("keeper")
    world.collect("keeper", grammar.tweets("keeper"))
    trained.world.copy_to(world, layout.releases("keeper"))
    trained.world.copy_to(world, layout.live_pointer("keeper"))
    return world
