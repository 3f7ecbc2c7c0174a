from pathlib import Path

import pytest

from pipeline.errors import UserError
from trainer_image.config import Config, run_name

ENVIRONMENT = {
    "DATA_BUCKET": "data",
    "MODELS_BUCKET": "models",
    "MODELS_MOUNT": "/mnt/models",
    "SETTINGS": '{"steps": 7}',
    "REQUIRE_GPU": "",
}


def test_the_environment_is_read():
    config = Config.from_environment(ENVIRONMENT)
    assert (config.models_mount, config.settings.steps) == (Path("/mnt/models"), 7)
    assert not config.require_gpu
    assert Config.from_environment(ENVIRONMENT | {"REQUIRE_GPU": "1"}).require_gpu


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"DATA_BUCKET": ""}, r"DATA_BUCKET \(\): Field required"),
        ({"SETTINGS": "nonsense"}, r"SETTINGS \(nonsense\): Invalid JSON"),
        ({"SETTINGS": '{"step": 7}'}, r"SETTINGS.step .*: Extra inputs"),
        ({"SETTINGS": '{"steps": 0}'}, r"SETTINGS.steps .*: Input should be greater"),
    ],
)
def test_a_wrong_variable_is_named(change: dict[str, str], message: str):
    with pytest.raises(UserError, match=f"^environment variable {message}"):
        Config.from_environment(ENVIRONMENT | change)


def test_a_run_is_named_as_a_machine_may_be():
    assert run_name("train-dev-2026-11-23") == "train-dev-2026-11-23"


@pytest.mark.parametrize("name", ["", "A", "a/b", "../x", "a b", "-a", "a-", "x" * 64])
def test_no_other_name_is_a_run(name: str):
    with pytest.raises(UserError, match=r"^run "):
        run_name(name)
