from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.errors import UserError
from trainer_image.config import Config

ENVIRONMENT = {
    "DATA_BUCKET": "data",
    "MODELS_BUCKET": "models",
    "MODELS_MOUNT": "/mnt/models",
    "SETTINGS": '{"steps": 7}',
    "REQUIRE_GPU": "",
    "MAX_RUN_SECONDS": "14400",
    "KEEP_RELEASES": "10",
}


def test_the_environment_is_read() -> None:
    config = Config.read(ENVIRONMENT)
    assert (config.models_mount, config.settings.steps) == (Path("/mnt/models"), 7)
    assert not config.require_gpu
    assert config.longest == timedelta(hours=4)
    assert Config.read(ENVIRONMENT | {"REQUIRE_GPU": "1"}).require_gpu


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"DATA_BUCKET": ""}, r"DATA_BUCKET is not set; set it as the stack does"),
        ({"MAX_RUN_SECONDS": "0"}, r"MAX_RUN_SECONDS is '0': Input should be greater than 0"),
        ({"SETTINGS": "nonsense"}, r"SETTINGS is 'nonsense': Invalid JSON"),
        ({"SETTINGS": '{"step": 7}'}, "SETTINGS is .*: step: Extra inputs"),
        ({"SETTINGS": '{"steps": 0}'}, "SETTINGS is .*: steps: Input should be greater"),
    ],
)
def test_a_wrong_variable_is_named(change: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=f"^environment variable {message}"):
        Config.read(ENVIRONMENT | change)
