"""The first `up` of the real program, on the real engine, in a project where no API is enabled.

That every resource waits for its API, tests/stacks/test_first_up.py shows.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loop.deployment import ROOT, Deployment


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    begun = Deployment.of_a_copy(tmp_path)
    yield begun
    begun.end()


def restore(deployment: Deployment, file: str) -> None:
    (deployment.root / file).write_text((ROOT / file).read_text())


@pytest.mark.deep
def test_what_does_not_wait_for_its_api_fails_and_names_it(deployment: Deployment) -> None:
    deployment.edit(
        "stacks/release.py", 'depends_on=[self._project.service("storage")]', "depends_on=[]"
    )
    # A function is called in preview already, unless it waits for what is not there yet.
    asked = deployment.pulumi("preview", ok=False)
    assert "403: storage.googleapis.com has not been used" in asked.stdout + asked.stderr
    restore(deployment, "stacks/release.py")

    line = "        if api not in self._services:\n"
    another = '        api = _RESOURCE_MANAGER if api == "run" else api\n'
    deployment.edit("stacks/project.py", line, another + line)
    assert "403: run.googleapis.com has not been used" in deployment.up(ok=False)
    restore(deployment, "stacks/project.py")

    # As it is, the program goes on from there, to the end.
    deployment.up()
    assert deployment.planned() == set()
