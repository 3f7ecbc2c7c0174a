"""What the tests with real tools share: a Docker daemon, and the images built from the repository.

What takes long is kept in `.cache/real`: the stand-in bases, and the daemon's layers.
"""

import functools
import re
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline import novelty
from pipeline.novelty import NoveltyIndex
from tests.app import tiny_model
from tests.real import bases, docker
from tests.real import registry as registries
from tests.real.declared import Declared, deployed
from tests.real.docker import Docker
from tests.real.registry import Registry
from tests.stacks.recorder import ROOT, declare, stack_values

CACHE = ROOT / ".cache/real"
FOLDERS = {
    "app": "app",
    "control": "control_image",
    "scraper": "scraper_image",
    "trainer": "trainer_image",
}
Build = Callable[[str], str]


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry under Artifact Registry's name; who may do what there is the test's to say."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # All of 127/8 is this machine; a session has an address of its own for port 443.
    address = f"127.83.{port // 256}.{port % 256}"
    with registries.serve(tmp_path_factory.mktemp("registry"), address, port) as running:
        yield running


@pytest.fixture(scope="session")
def daemon(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """A Docker daemon for this session, which knows the registry and trusts it."""
    settings = tmp_path_factory.mktemp("docker")
    trusted = settings / "certs.d" / registries.HOST / "ca.crt"
    trusted.parent.mkdir(parents=True)
    shutil.copy(registry.certificate, trusted)
    hosts = {registries.HOST: registry.address}
    with docker.daemon(CACHE / "docker", hosts, settings) as running:
        yield running


def base(docker: Docker, image: str) -> None:
    """Let the daemon have a base image, under exactly the name that Dockerfiles give it."""
    if "@" in image:  # pinned by digest, which no stand-in has
        docker.run("pull", image)
        return
    made, changes = bases.archive(image, CACHE)
    label = f"stand-in={made.stem}"
    known = docker.run("images", "--quiet", "--filter", f"label={label}", image)
    if not known:
        options = [word for change in [*changes, f"LABEL {label}"] for word in ("--change", change)]
        docker.run("import", *options, str(made), image)


def bases_of(dockerfile: Path) -> set[str]:
    """The images that a Dockerfile builds on."""
    froms = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", dockerfile.read_text(), re.MULTILINE)
    return {image for image, _ in froms} - {stage for _, stage in froms}


@functools.cache
def declared_build(program: str) -> Mapping[str, Any]:
    """What the stack declares for the build of a program's image."""
    program_of = declare("local", stack_values("local"))
    return program_of.one("docker:index/image:Image", program).inputs["build"]


def build_as_declared(
    docker: Docker, program: str, tag: str, *options: str, root: Path = ROOT
) -> None:
    """Build a program's image of a checkout, as pulumi-docker is told to."""
    declared = declared_build(program)
    given = [f"--build-arg={name}={value}" for name, value in declared.get("args", {}).items()]
    docker.build(root / declared["context"], root / declared["dockerfile"], tag, *given, *options)


@pytest.fixture(scope="session")
def build(daemon: Docker) -> Build:
    """Builds a program's image from its unmodified Dockerfile, once; returns its name."""
    built: dict[str, str] = {}

    def image(program: str) -> str:
        if program not in built:
            declared = declared_build(program)
            for name in bases_of(ROOT / declared["dockerfile"]):
                base(daemon, name)
            build_as_declared(daemon, program, f"{program}:built")
            built[program] = f"{program}:built"
        return built[program]

    return image


@pytest.fixture(scope="session")
def declared(daemon: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Declared]:
    """A deployment of the local stack, which the tests share."""
    with deployed(tmp_path_factory.mktemp("declared"), daemon) as running:
        yield running


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with its index of the corpus, as a release has it."""
    folder = tmp_path_factory.mktemp("model")
    tiny_model.build(folder)
    NoveltyIndex.build(["a tweet of the corpus"]).save(folder / novelty.FILE)
    return folder
