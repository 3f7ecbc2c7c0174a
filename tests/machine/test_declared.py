"""The declared start-up of the training VM, checked by the tools that will read it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.machine.conftest import files
from tests.stacks.recorder import ROOT, declare, stack_values

TEMPLATE = "gcp:compute/instanceTemplate:InstanceTemplate"


@pytest.fixture(scope="module", params=["local", "dev", "prod"])
def metadata(request: pytest.FixtureRequest) -> dict[str, str]:
    """The metadata of an environment's first template."""
    return declare(request.param, stack_values(request.param)).of(TEMPLATE)[0].inputs["metadata"]


@pytest.fixture(scope="session")
def cloud_init() -> str:
    """The cloud-init program. Where it is not available, its tests are skipped, except in CI."""
    script = [str(ROOT / "tools/cloud-init.sh")]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1]
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return done.stdout.strip()


def test_the_log_outlives_the_machine(metadata: dict[str, str]) -> None:
    """The system's agent logs the container's lines; the console logs everything."""
    assert metadata["google-logging-enabled"] == "true"
    assert metadata["serial-port-logging-enable"] == "true"
    unit = files(metadata["user-data"])["/etc/systemd/system/trainer.service"].splitlines()
    assert "StandardOutput=journal+console" in unit
    assert "StandardError=journal+console" in unit


def test_cloud_init_accepts_the_declared_user_data(
    metadata: dict[str, str], cloud_init: str, tmp_path: Path
) -> None:
    given = tmp_path / "user-data"
    given.write_text(metadata["user-data"])
    done = subprocess.run(
        [cloud_init, "schema", "--config-file", str(given)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_shellcheck_accepts_the_scripts_of_the_machine(
    metadata: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "train.sh"
    script.write_text(files(metadata["user-data"])["/etc/trainer/train.sh"])
    shellcheck = Path(sys.executable).with_name("shellcheck")
    scripts = [str(script), str(ROOT / "trainer_image/entrypoint.sh")]
    done = subprocess.run([str(shellcheck), *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
