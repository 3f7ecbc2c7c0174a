"""The start-up configuration of a training machine: a cloud-config document in its user data."""

import shlex
from importlib import resources

import yaml

from pipeline import layout

# The machine ends the training this many seconds before Compute Engine stops the machine. In this
# time the machine starts, the trainer ends in order, and its last log entries are sent.
MARGIN_SECONDS = 300


def user_data(
    *,
    image: str,
    registry_host: str,
    models: str,
    base_model: str,
    container: dict[str, str],
    gpu: bool,
    seconds: int,
) -> str:
    """The cloud-config of a training machine.

    Args:
        image: The trainer's image.
        registry_host: The host that the image is pulled from.
        models: The bucket with the run's result and the base model.
        base_model: The name of the model that an account's first training starts from.
        container: The trainer's environment.
        gpu: Whether the machine has a GPU, and needs its driver.
        seconds: The time after which Compute Engine stops or deletes the machine.
    """
    machine = {
        "IMAGE": image,
        "REGISTRY_HOST": registry_host,
        "GPU": "1" if gpu else "",
        "MODELS_BUCKET": models,
        "RESULT": layout.run_result("MACHINE"),
        "BASE": layout.base_model(base_model),
        "BASE_FILES": " ".join(layout.BASE_MODEL_FILES),
    }
    files = {
        "/etc/systemd/system/trainer.service": _script("trainer.service"),
        "/etc/systemd/system/trainer.service.d/limit.conf": (
            f"[Service]\nTimeoutStartSec={seconds - MARGIN_SECONDS}\n"
        ),
        "/etc/trainer/train.sh": _script("train.sh"),
        "/etc/trainer/machine.env": _lines(machine, quote=True),
        "/etc/trainer/container.env": _lines(
            container | {"MAX_RUN_SECONDS": str(seconds)}, quote=False
        ),
    }
    config = {
        "write_files": [
            {"path": path, "permissions": "0644", "owner": "root", "content": content}
            for path, content in files.items()
        ],
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "start", "--no-block", "trainer.service"],
        ],
    }
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)


def _script(name: str) -> str:
    return resources.files("stacks.scripts").joinpath(name).read_text()


def _lines(values: dict[str, str], *, quote: bool) -> str:
    """The text of an environment file. A shell understands quotes, Docker's --env-file does not."""
    return "".join(f"{k}={shlex.quote(v) if quote else v}\n" for k, v in values.items())
