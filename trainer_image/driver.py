"""Whether TensorFlow sees a GPU, and what it found missing where it sees none."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

# The driver's own libraries; the others come with the image.
_DRIVER = {"libcuda.so.1", "libnvidia-ml.so.1"}
_FOLDER = "/usr/local/nvidia/lib64"
_NOT_LOADED = re.compile(r"Could not load dynamic library '([^']+)'")
_NOT_STARTED = re.compile(r"failed call to cuInit: (.+)")
# The words of TensorFlow's loader go to the log only when asked for.
_TALKATIVE = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "dso_loader=1"}
_LOOK = "import tensorflow; tensorflow.config.list_physical_devices('GPU')"
_SECONDS = 120


def require_gpu() -> None:
    """Raise UserError if TensorFlow sees no GPU: it would train on the processor, for days."""
    tf: Any = import_module("tensorflow")
    if tf.config.list_physical_devices("GPU"):
        return
    if not tf.test.is_built_with_cuda():
        reason = "it is built without CUDA; install requirements/trainer.txt"
    else:
        reason = missing(_look_again(), Path("/dev"))
    raise UserError(f"TensorFlow sees no GPU: {reason}. Nothing was trained")


def missing(log: str, devices: Path) -> str:
    """What to mend, by the log of TensorFlow's loader and the devices of the container."""
    found: list[str] = []
    if not any(devices.glob("nvidia[0-9]*")):
        found.append(f"{devices}/nvidia0 is missing; give the container every GPU with --device")
    for library in dict.fromkeys(_NOT_LOADED.findall(log)):
        if library in _DRIVER:
            found.append(
                f"the driver's {library} cannot be loaded; mount its folder at {_FOLDER} and name"
                " that in LD_LIBRARY_PATH"
            )
        else:
            path = os.environ.get("LD_LIBRARY_PATH", "")
            found.append(f"{library} cannot be loaded; LD_LIBRARY_PATH ({path}) must lead to it")
    if not found:
        found += [f"the driver does not start ({reason})" for reason in _NOT_STARTED.findall(log)]
    return "; ".join(found) or "the driver is loaded and counts none"


def _look_again() -> str:
    """Let another process look for GPUs, and return what it logs."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOOK],
            env={**os.environ, **_TALKATIVE},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stderr
