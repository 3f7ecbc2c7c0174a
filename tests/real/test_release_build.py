"""The release build's own steps, with a real Docker, BuildKit and registry, two builds at once.

Run as Cloud Build runs them: each step is a container with its image's own user, all of a build
share `/workspace`, which is root's, and a step of Docker's has the daemon's socket and the build
account's login. What it cannot show: Cloud Build's own images and network.

Source: https://cloud.google.com/build/docs/build-config-file-schema
"""

import base64
import json
import tempfile
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.gateway import iam
from local.gateway.errors import HttpError
from pipeline import layout, release
from tests.app import releases
from tests.real import registry as registries
from tests.real.conftest import Build, base
from tests.real.declared import Declared
from tests.real.docker import Docker
from tests.real.registry import Registry

pytestmark = pytest.mark.real

TRIGGER = "gcp:cloudbuild/trigger:Trigger"
FIRST, SECOND = "20261122T101500Z-0123abcd", "20261123T101500Z-4567cdef"


@dataclass
class CloudBuild:
    """Runs a declared trigger's steps."""

    declared: Declared
    registry: Registry
    docker: Docker
    images: dict[str, str]

    @property
    def trigger(self) -> dict[str, Any]:
        (trigger,) = self.declared.cloud.resources.of_type(TRIGGER)
        return trigger.inputs

    @property
    def account(self) -> str:
        return self.trigger["serviceAccount"].rpartition("/")[2]

    def run(self, number: int, pointer: str) -> str:
        """Run all steps for a changed pointer; what they said. Each must end well."""
        said = ""
        with workspace() as folder:
            login = self._login(folder)
            for step in self.trigger["build"]["steps"]:
                words = self._words(step, number, pointer, folder / "workspace", login)
                status, output = self.docker.status(*words)
                assert status == 0, f"{step['id']}: {output}"
                said += output
        return said

    def _words(
        self, step: dict[str, Any], number: int, pointer: str, folder: Path, login: Path
    ) -> list[str]:
        given = [value.replace("$_OBJECT", pointer) for value in step.get("envs", [])]
        network = self.declared.cloud.network(f"build-{number}", self.account, {})
        del network["REGISTRY_ENDPOINT_OVERRIDE"]  # the registry has its own name here
        given += [f"{key}={value}" for key, value in network.items()]
        given += ["HOME=/builder/home", "REQUESTS_CA_BUNDLE=/registry.crt"]
        name: str = step["name"]
        image = self.images.get(name.partition("@")[0], name)
        words = [
            *("run", "--rm", "--network=host", "--volume", f"{folder}:/workspace"),
            *("--volume", f"{login}:/builder/home", "--workdir", step.get("dir") or "/workspace"),
            *("--volume", f"{self.docker.socket}:/var/run/docker.sock"),
            *("--volume", f"{self.registry.certificate}:/registry.crt:ro"),
            *(word for value in given for word in ("--env", value)),
        ]
        if script := step.get("script"):
            return [*words, "--entrypoint=bash", image, "-c", script]
        return [*words, image, *step["args"]]

    def _login(self, folder: Path) -> Path:
        """Docker's settings as Cloud Build leaves them for a build's account."""
        token = self.declared.cloud.gateway.token(self.account)
        secret = base64.b64encode(f"oauth2accesstoken:{token}".encode()).decode()
        file = folder / "home/.docker/config.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"auths": {registries.HOST: {"auth": secret}}}))
        return folder / "home"


@contextmanager
def workspace() -> Generator[Path]:
    """A folder with an empty `workspace`, which is root's."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "workspace").mkdir(mode=0o755)
        yield folder


@pytest.fixture(scope="module")
def cloud_build(
    declared: Declared, registry: Registry, daemon: Docker, build: Build, model: Path
) -> Iterator[CloudBuild]:
    """The trigger, the pushed base, and two releases of keeper's, of which none is live yet."""
    world = declared.cloud.context

    def permit(token: str, permission: str, repository: str) -> bool:
        project, _, name = repository.partition("/")
        resource = f"projects/{project}/locations/europe-west4/repositories/{name}"
        try:
            member = declared.cloud.gateway.member(f"Bearer {token}")
            world.policy.require(member, permission, resource)
        except (HttpError, iam.Denied):
            return False
        return True

    registry.permit = permit
    repository = f"{registries.HOST}/local-bots/local-bots"
    builder = {step["name"] for step in _docker_steps(declared)}
    for name in builder:
        base(daemon, name)
    made = CloudBuild(declared, registry, daemon, {f"{repository}/control": build("control")})
    pushed = f"{repository}/app:local"
    daemon.run("tag", build("app"), pushed)
    daemon.login(registries.HOST, declared.cloud.gateway.token(iam.OPERATOR))
    daemon.run("push", pushed)
    (digest,) = [d for d in daemon.inspect(pushed)["RepoDigests"] if d.startswith(registries.HOST)]
    pointer = layout.base_pointer("keeper")
    found = declared.models.read(pointer)
    text = json.dumps({"base": digest}).encode()
    declared.models.write(pointer, text, generation=found.generation if found else 0)
    for tag in (FIRST, SECOND):
        releases.publish(declared.models, tag, model)
    yield made
    registry.permit = lambda token, permission, repository: False


def _docker_steps(declared: Declared) -> list[dict[str, Any]]:
    (trigger,) = declared.cloud.resources.of_type(TRIGGER)
    return [step for step in trigger.inputs["build"]["steps"] if "script" in step]


def test_two_builds_at_once_end_with_the_image_of_what_is_wanted(
    cloud_build: CloudBuild, declared: Declared, daemon: Docker
) -> None:
    pointer = layout.live_pointer("keeper")
    releases.point(declared.models, FIRST)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cloud_build.run, 1, pointer)
        releases.point(declared.models, SECOND)
        second = pool.submit(cloud_build.run, 2, pointer)
        first.result()
        second.result()
    live = f"{registries.HOST}/local-bots/local-bots/keeper:live"
    daemon.run("rmi", "--force", live, ok=None)
    daemon.run("pull", live)
    config = daemon.inspect(live)["Config"]
    assert f"RELEASE={SECOND}" in config["Env"]
    status, line = declared.run("local-keeper-post", live)
    assert (status, line["state"], line["release"]) == (0, "posted", SECOND)
    assert release.read_live(declared.models, "keeper") is not None


def test_a_build_without_the_writers_role_moves_nothing(
    cloud_build: CloudBuild, declared: Declared
) -> None:
    grants = declared.deployment.client.grants()
    (writer,) = [
        grant["id"] for grant in grants if grant["role"] == "roles/artifactregistry.writer"
    ]
    releases.point(declared.models, FIRST)
    declared.deployment.client.suspend(writer)
    try:
        with pytest.raises(AssertionError, match=r"(?i)denied|403"):
            cloud_build.run(3, layout.live_pointer("keeper"))
    finally:
        declared.deployment.client.restore(writer)
