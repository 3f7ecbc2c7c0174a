"""The trainer's image, built by Docker and run as the training machine runs it.

The Dockerfile, its scripts and everything else are as they are; of the lock file the CUDA packages
and TensorFlow are replaced by TensorFlow for processors, as the development lock names it. The
container is started with exactly the words of `stacks/scripts/train.sh`, so that it mounts the
models bucket through the real gcsfuse; the gateway enforces the declared grants.
"""

import json
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.samples import base as sample
from demo.samples import grammar
from pipeline import layout
from pipeline.program import STATUS
from pipeline.runs import read_result
from pipeline.tweets import Tweet, to_jsonl
from tests.real import sbom
from tests.real.conftest import CACHE, base, bases_of
from tests.real.declared import Declared, deployed
from tests.real.docker import Docker
from tests.stacks.recorder import ROOT

pytestmark = pytest.mark.real

IMAGE = "trainer:cpu"
MACHINE = "local-2026-11-30"
TEMPLATE = "gcp:compute/instanceTemplate:InstanceTemplate"
# A whole training, and one that does not end by itself.
FAST = {"base_model": "tiny", "steps": 2, "batch_size": 1, "window": 16, "save_every": 1}
ENDLESS = FAST | {"steps": 100_000, "save_every": 100_000}
# gcsfuse is told where the gateway is, and to read by the JSON API, of which that is a copy; all
# other flags are the entry point's.
ELSEWHERE = """\
#!/bin/sh
exec /usr/local/bin/gcsfuse.real --custom-endpoint "$API_ENDPOINT_OVERRIDE/storage/v1/" \\
    --experimental-enable-json-read "$@"
"""


def packages(program: str) -> list[tuple[str, str]]:
    """Name and whole entry of each package in a lock; some have an entry for each Python."""
    lock = (ROOT / f"requirements/{program}.txt").read_text()
    entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    return [(entry.partition("==")[0], entry) for entry in entries if "==" in entry]


def cpu_lock() -> str:
    """The trainer's lock with TensorFlow for processors, at the same version."""
    (cpu,) = [entry for name, entry in packages("dev") if name == "tensorflow-cpu"]
    (gpu,) = [entry for name, entry in packages("trainer") if name.startswith("tensorflow")]
    version = re.compile(r"==([\d.]+)")
    wanted, given = version.search(gpu), version.search(cpu)
    assert wanted and given and wanted[1] == given[1]
    kept = [entry for name, entry in packages("trainer") if not name.startswith("nvidia-")]
    return "".join(cpu if entry == gpu else entry for entry in kept)


@pytest.fixture(scope="module")
def image(daemon: Docker, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The trainer's image, of a checkout with the other lock."""
    context = tmp_path_factory.mktemp("checkout")
    for name in ("pipeline", "requirements", "tools", "trainer_image"):
        shutil.copytree(ROOT / name, context / name)
    (context / "requirements/trainer.txt").write_text(cpu_lock())
    dockerfile = context / "trainer_image/Dockerfile"
    for name in bases_of(dockerfile):
        base(daemon, name)
    daemon.build(context, dockerfile, IMAGE)
    on_gateway = tmp_path_factory.mktemp("gateway")
    (on_gateway / "gcsfuse").write_text(ELSEWHERE)
    (on_gateway / "Dockerfile").write_text(
        f"FROM {IMAGE}\nRUN mv /usr/local/bin/gcsfuse /usr/local/bin/gcsfuse.real\n"
        "COPY --chmod=755 gcsfuse /usr/local/bin/gcsfuse\n"
    )
    daemon.build(on_gateway, on_gateway / "Dockerfile", f"{IMAGE}-gateway")
    return f"{IMAGE}-gateway"


@pytest.fixture(scope="module")
def declared(daemon: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Declared]:
    """A deployment of its own: a machine trains all accounts, with whatever else was released."""
    with deployed(tmp_path_factory.mktemp("training"), daemon) as running:
        yield running


@dataclass
class Machine:
    """What the declared template tells a machine, without a GPU, on the gateway's network."""

    declared: Declared
    image: str
    folder: Path

    def words(self, settings: dict[str, Any]) -> list[str]:
        """The words of the script's last `docker`, with other settings of the training."""
        (template,) = self.declared.cloud.resources.of_type(TEMPLATE)
        user_data = yaml.safe_load(template.inputs["metadata"]["user-data"])
        files = {file["path"]: file["content"] for file in user_data["write_files"]}
        account = template.inputs["serviceAccount"]["email"]
        network = {
            **self.declared.cloud.network("trainer", account, {}),
            "SETTINGS": json.dumps(settings | {"min_tweets": 20}),
        }
        # Docker takes the last of two lines with one name.
        lines = "".join(f"{key}={value}\n" for key, value in network.items())
        container = self.folder / "container.env"
        container.write_text(files["/etc/trainer/container.env"] + lines)
        script = files["/etc/trainer/train.sh"]
        line = script[script.rindex("docker run") :].replace("\\\n", " ").splitlines()[0]
        given = (
            line.replace('"${gpu[@]}"', "--network=host")
            .replace("/etc/trainer/container.env", str(container))
            .replace("/var/trainer:", f"{self.folder}/trainer:")
            .replace('"$IMAGE"', self.image)
            .replace('"$machine"', MACHINE)
        )
        assert "$" not in given
        return shlex.split(given)[1:]


@pytest.fixture
def machine(declared: Declared, image: str, tmp_path: Path) -> Machine:
    """A machine for baker, who has enough tweets, and the base model in the bucket."""
    for file in sorted(sample.cached(ROOT).iterdir()):
        name = layout.base_model("tiny") + file.name
        if declared.models.read(name) is None:
            declared.models.upload(name, file)
    tweets = [
        Tweet(
            id=str(1000 + number),
            text=text,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            source="archive",
        )
        for number, text in enumerate(grammar.tweets("baker", 60))
    ]
    segment = f"{layout.segments('baker')}1000.jsonl"
    if declared.data.read(segment) is None:
        declared.data.write(segment, to_jsonl(tweets), generation=0)
    return Machine(declared, image, tmp_path)


def test_the_trainer_is_made_of_what_its_lock_names(
    daemon: Docker, image: str, tmp_path: Path
) -> None:
    """And of what the base installs packages with; the CUDA packages are tests/images'."""
    document = sbom.write(daemon, image, "trainer", CACHE, tmp_path)
    assert sbom.against(document, cpu_lock()) == (set(), set())


def test_sigterm_ends_a_training_at_once_and_leaves_no_result(
    machine: Machine, daemon: Docker, declared: Declared
) -> None:
    words = [word for word in machine.words(ENDLESS) if word != "--rm"]
    name = daemon.run("run", "--detach", *words[1:])
    while '"step"' not in daemon.run("logs", name):
        assert daemon.inspect(name)["State"]["Running"], daemon.run("logs", name)
        time.sleep(0.2)
    started = time.monotonic()
    daemon.run("stop", "--time=30", name)
    assert daemon.inspect(name)["State"]["ExitCode"] == STATUS
    assert time.monotonic() - started < 15
    assert read_result(declared.models, MACHINE) is None
    daemon.run("rm", name)


def test_it_trains_from_what_it_reads_through_gcsfuse(
    machine: Machine, daemon: Docker, declared: Declared
) -> None:
    status, said = daemon.status(*machine.words(FAST))
    result = read_result(declared.models, MACHINE)
    assert result is not None, said
    assert result.accounts["baker"].outcome in {"live", "refused"}, said
    assert status == 0, said
