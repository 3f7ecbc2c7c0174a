"""A training VM: boots the declared user data in the local container runtime."""

# pyright: reportPrivateUsage=false

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud import storage

from demo.samples import base, grammar
from local.containers.runtime import ContainerRuntime
from pipeline import layout
from pipeline.runs import RunResult, read_result
from pipeline.store import Store
from pipeline.tweets import Tweet, to_jsonl
from stacks import cloud_config
from tests.conftest import CloudStorage
from tests.pipeline.curating import declare
from tests.stacks.recorder import ROOT

HOST = "europe-west4-docker.pkg.dev"
IMAGE = f"{HOST}/project/bots/trainer:1"
NAME = "train-test-first"
# The VM takes seconds on a free processor. Only what hangs reaches this.
TIMEOUT = 240
# A whole training run; below, one that does not end by itself.
FAST: dict[str, Any] = {
    "base_model": "tiny",
    "steps": 2,
    "batch_size": 1,
    "window": 16,
    "save_every": 1,
    "min_tweets": 20,
}
ENDLESS = FAST | {"steps": 100_000, "save_every": 100_000}


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> ContainerRuntime:
    """A container runtime whose registry has the trainer's image, built from its Dockerfile."""
    runtime = ContainerRuntime(tmp_path_factory.mktemp("machine"))
    runtime.build(ROOT, ROOT / "trainer_image/Dockerfile", IMAGE)
    runtime.push(IMAGE)
    return runtime


@dataclass
class VM:
    """One VM with its disk and its console. A test may change the buckets and the stand-ins."""

    runtime: ContainerRuntime
    data: Store
    models: Store
    folder: Path
    network: dict[str, str]
    settings: dict[str, Any] = field(default_factory=lambda: FAST)
    image: str = IMAGE
    seconds: int = 4 * 3600

    @property
    def user_data(self) -> str:
        """The user data that the program declares for a VM with a GPU. The trainer needs none."""
        return cloud_config.user_data(
            image=self.image,
            registry_host=HOST,
            models=self.models.bucket_name,
            base_model=self.settings["base_model"],
            container={
                "DATA_BUCKET": self.data.bucket_name,
                "MODELS_BUCKET": self.models.bucket_name,
                "MODELS_MOUNT": "/mnt/models",
                "SETTINGS": json.dumps(self.settings),
                "REQUIRE_GPU": "",
                "KEEP_RELEASES": "2",
            },
            gpu=True,
            seconds=self.seconds,
        )

    @property
    def console(self) -> str:
        """Everything that Compute Engine sends to Cloud Logging."""
        return (self.folder / "console").read_text(errors="replace")

    @contextmanager
    def on(self) -> Generator["subprocess.Popen[bytes]"]:
        """Boots the VM. Kills it at the end if it is still on."""
        with (self.folder / "console").open("ab") as log:
            process = self.runtime.boot(
                self.user_data, self.folder / "disk", network=self.network, log=log
            )
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def run(self) -> None:
        """Boots the VM and waits until it has powered itself off."""
        with self.on() as process:
            status = process.wait(TIMEOUT)
        assert (status, self.runtime.powered_off(self.folder / "disk")) == (0, True), self.console

    @property
    def result(self) -> RunResult | None:
        return read_result(self.models, NAME)

    @property
    def released(self) -> list[str]:
        """The manifests and pointers, which together make a release."""
        names = [*self.models.names("releases/"), *self.models.names("rollout/live/")]
        return [name for name in names if name.endswith(".json") and "/model/" not in name]

    def wait_for(self, condition: Callable[[], Any], process: "subprocess.Popen[bytes]") -> None:
        """Waits until the condition holds. The VM must not end before."""
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert process.poll() is None, self.console
            assert time.monotonic() < deadline, self.console
            time.sleep(0.05)

    @contextmanager
    def command(self, name: str, script: str) -> Generator[None]:
        """Puts another program in the place of one of the system's commands."""
        tools = self.runtime._host.tools
        places = [tools / folder / name for folder in ("usr/bin", "usr/local/bin", "usr/sbin")]
        kept = {place: place.read_bytes() for place in places}
        for place in places:
            place.write_text(f"#!/bin/sh\n{script}\n")
        try:
            yield
        finally:
            for place, content in kept.items():
                place.write_bytes(content)


@pytest.fixture
def vm(
    runtime: ContainerRuntime,
    bucket_factory: Callable[[], storage.Bucket],
    gcs: CloudStorage,
    tmp_path: Path,
) -> VM:
    """A VM for an account with enough tweets. The bucket has the tiny base model."""
    data, models = Store(bucket_factory(), timeout=20), Store(bucket_factory(), timeout=20)
    for file in sorted(base.cached(ROOT).iterdir()):
        models.upload(layout.base_model("tiny") + file.name, file)
    models.write(layout.base_pointer("keeper"), b"{}", generation=0)
    tweets = [
        Tweet(
            id=str(1000 + n),
            text=text,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            source="archive",
        )
        for n, text in enumerate(grammar.tweets("keeper", 60))
    ]
    data.write(f"{layout.segments('keeper')}1000.jsonl", to_jsonl(tweets), generation=0)
    declare(data, "keeper")
    email = "trainer@test.iam.gserviceaccount.com"
    network = gcs.gateway.identity(NAME, email, {"instance/name": NAME})
    del network["REGISTRY_ENDPOINT_OVERRIDE"]  # no registry answers there
    return VM(runtime, data, models, tmp_path, network)


def files(user_data: str) -> dict[str, str]:
    """The contents of the files that a cloud-config writes, by path."""
    return {file["path"]: file["content"] for file in yaml.safe_load(user_data)["write_files"]}
