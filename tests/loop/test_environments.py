"""Every stack file on the real engine: what it plans is what the mocks recorded, and `up` does it.

The local cloud stands in for Google's: it checks types, grants and what its kinds check; quotas,
propagation and a service's own validation it cannot show.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import JsonValue

from local.engine.handler import UNKNOWN
from tests.loop.deployment import Deployment
from tests.stacks.recorder import Recorder, declare
from tests.stacks.rules import plain

# What the engine's JSON has in place of secrets.
_SECRET = "[secret]"


@pytest.fixture
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """The stack file of that name, with the local cloud's address in a copy of it."""
    # A copy of the program, since `stack init` writes into its stack file.
    deployment = Deployment.of_a_copy(tmp_path, request.param)
    try:
        yield deployment
    finally:
        deployment.end()


def recorded(deployment: Deployment) -> Recorder:
    values = yaml.safe_load(deployment.file.read_text())["config"]
    return declare(deployment.stack, values)


def planned(deployment: Deployment) -> dict[tuple[str, str], Any]:
    """The inputs of everything that a first `up` would make, by type and name."""
    steps = json.loads(deployment.pulumi("preview", "--json").stdout)["steps"]
    states = [step["newState"] for step in steps]
    return {(s["type"], s["urn"].rpartition("::")[2]): s.get("inputs", {}) for s in states}


def differences(mocked: JsonValue, engine: JsonValue, path: str = "") -> Iterator[str]:
    """Where inputs differ, as far as the engine knows them; keys that the provider adds do not."""
    if engine == _SECRET or (isinstance(engine, str) and UNKNOWN in engine):
        return
    if isinstance(mocked, dict) and isinstance(engine, dict):
        for key in mocked.keys() | engine.keys():
            if key not in mocked and path == "" and key.startswith("__"):
                continue
            yield from differences(mocked.get(key), engine.get(key), f"{path}.{key}")
    elif isinstance(mocked, list) and isinstance(engine, list) and len(mocked) == len(engine):
        for index, pair in enumerate(zip(mocked, engine, strict=True)):
            yield from differences(*pair, f"{path}[{index}]")
    elif mocked != engine:
        yield f"{path}: {mocked!r} under mocks, {engine!r} on the engine"


@pytest.mark.parametrize("deployment", ["local"], indirect=True)
def test_the_engine_plans_what_the_mocks_recorded(deployment: Deployment) -> None:
    mocks = {r.key: plain(dict(r.inputs)) for r in recorded(deployment).resources}
    engine = planned(deployment)
    stack = {key for key in engine if key[0] == "pulumi:pulumi:Stack"}
    assert engine.keys() - stack == mocks.keys()
    found = [
        f"{name}{difference}"
        for (kind, name), inputs in mocks.items()
        if not kind.startswith(("pulumi:", "gpt2-bots:"))
        for difference in differences(inputs, engine[kind, name])
        # The provider's own addition to an image's inputs.
        if "contextDigest" not in difference
    ]
    assert found == []


@pytest.mark.deep
@pytest.mark.parametrize("deployment", ["dev", "prod"], indirect=True)
def test_an_environment_comes_up_as_recorded_and_a_second_up_changes_nothing(
    deployment: Deployment,
) -> None:
    deployment.up()
    mocks = {r.key for r in recorded(deployment).resources}
    made = {(state["type"], urn.rpartition("::")[2]) for urn, state in deployment.state().items()}
    # Docker's providers are the engine's own default ones, which mocks do not see.
    of_the_engine = ("pulumi:pulumi:Stack", "pulumi:providers:docker")
    assert {key for key in made if not key[0].startswith(of_the_engine)} == mocks
    assert deployment.planned() == set()
    destroy = ("destroy", "--yes", "--skip-preview")
    if deployment.cloud.stack.throw_away:
        deployment.pulumi(*destroy)
        return
    # Objects that the program itself deletes stay as noncurrent versions for a day.
    assert "is not empty" in deployment.pulumi(*destroy, ok=False).stdout
    deployment.client.advance(deployment.cloud.now() + timedelta(days=2))
    deployment.pulumi(*destroy)


# As dict literals send them: neither Python nor Pulumi's SDK sees anything wrong.
MISTAKES = [
    (
        "stacks/bucket.py",
        "versioning=gcp.storage.BucketVersioningArgs(enabled=True)",
        'versioning={"enabeld": True}',
        "did you mean 'enabled'",
    ),
    ("stacks/job.py", 'timeout=f"{timeout}s"', "timeout=timeout", "is a number; give a text"),
    (
        "stacks/job.py",
        "max_retries=1,",
        'max_retries=1, execution_environment="GEN2",',
        "'GEN2' is not allowed",
    ),
]


@pytest.mark.deep
def test_mistakes_planted_in_the_program_fail_the_preview_on_the_real_engine(
    tmp_path: Path,
) -> None:
    deployment = Deployment.of_a_copy(tmp_path)
    try:
        for file, old, new, said in MISTAKES:
            original = (deployment.root / file).read_text()
            deployment.edit(file, old, new)
            done = deployment.pulumi("preview", ok=False)
            assert said in done.stdout + done.stderr
            (deployment.root / file).write_text(original)
    finally:
        deployment.end()
