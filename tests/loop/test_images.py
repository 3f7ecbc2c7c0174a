"""What an image is built of, and what is built not at all, on the real engine."""

import subprocess
from collections.abc import Iterator

import pytest

from local import pulumi
from tests.loop.deployment import Deployment
from tests.loop.test_gestures import WEATHER

pytestmark = pytest.mark.deep

IMAGE = "docker:index/image:Image"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment.of_a_copy(tmp_path_factory.mktemp("images"))
    try:
        deployment.up()
        yield deployment
    finally:
        deployment.end()


def rebuilt(planned: set[tuple[str, str]]) -> set[str]:
    """The images among what is planned."""
    return {urn.rpartition("::")[2] for _, urn in planned if f"{IMAGE}::" in urn}


def planned_after(deployment: Deployment, file: str) -> set[tuple[str, str]]:
    """What a preview says after a line was added to a file; the file is as before afterwards."""
    path = deployment.root / file
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text((before or "") + "\n# edited\n")
    try:
        return deployment.planned()
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before)


@pytest.mark.parametrize("file", ["README.md", "docs/surprises.md", "tests/test_more.py"])
def test_what_no_image_contains_changes_nothing(deployed: Deployment, file: str) -> None:
    assert planned_after(deployed, file) == set()


@pytest.mark.parametrize("file", ["app/compose.py", "requirements/app.txt"])
def test_editing_the_app_changes_the_app_and_what_names_it(deployed: Deployment, file: str) -> None:
    planned = planned_after(deployed, file)
    assert rebuilt(planned) == {"app"}
    state = deployed.state()
    for operation, urn in planned:
        assert operation == "update"
        stands_on = [urn, *state[urn].get("dependencies", [])]
        assert any(one.endswith(f"{IMAGE}::app") for one in stands_on), urn


def test_editing_what_all_share_changes_all(deployed: Deployment) -> None:
    planned = planned_after(deployed, "pipeline/tweets.py")
    assert rebuilt(planned) == {"app", "control", "scraper", "trainer"}


def test_with_images_by_digest_nothing_needs_docker(deployed: Deployment) -> None:
    built = {
        resource["urn"].rpartition("::")[2]: resource["outputs"]["repoDigest"]
        for resource in deployed.state().values()
        if resource["type"] == IMAGE
    }
    deployed.configure(lambda c: c.update({"gpt2-bots:images": built}))
    # The registry keeps what is given; nothing else notices.
    assert {(op, urn.rpartition("::")[2]) for op, urn in deployed.planned()} == {
        ("update", "registry"),
        *(("delete", program) for program in built),
    }
    deployed.up()

    deployed.configure(lambda c: c["gpt2-bots:accounts"].update(weather=WEATHER))
    ports = {k: v for k, v in deployed.client.status()["providers"].items() if k != "docker"}
    up = ["up", "--yes", "--skip-preview", "--stack", "local", "--config-file", str(deployed.file)]
    command, environment = pulumi.command([*up, "--non-interactive"], deployed.home, ports)
    done = subprocess.run(
        command, env=environment, cwd=deployed.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "docker-build:index:Index::weather-live" in deployed.names()
    assert deployed.planned() == set()
