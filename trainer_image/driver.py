"""Checks that TensorFlow sees a GPU, and says what is missing if it does not."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.environment import inherited, variable
from pipeline.errors import UserError

# The driver's own libraries; the image brings the others.
_DRIVER = {"libcuda.so.1", "libnvidia-ml.so.1"}
_FOLDER = "/usr/local/nvidia/lib64"
_NOT_LOADED = re.compile(r"Could not load dynamic library '([^']+)'")
_NOT_STARTED = re.compile(r"failed call to cuInit: (.+)")
# TensorFlow's loader logs what it cannot load only with these.
_VERBOSE = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "dso_loader=1"}
_LIST_GPUS = "import tensorflow; tensorflow.config.list_physical_devices('GPU')"
_TIMEOUT = 120  # seconds


def require_gpu() -> None:
    """Raise UserError if TensorFlow sees no GPU. It would train on the processor, for days."""
    tf: Any = import_module("tensorflow")
    if tf.config.list_physical_devices("GPU"):
        return
    if not tf.test.is_built_with_cuda():
        reason = "it is built without CUDA; install requirements/trainer.txt"
    else:
        reason = missing(_loader_log(), Path("/dev"))
    raise UserError(f"TensorFlow sees no GPU: {reason}. Nothing was trained")


def missing(log: str, devices: Path) -> str:
    """Describe what is missing, from the log of TensorFlow's loader and the container's devices."""
    faults: list[str] = []
    if not any(devices.glob("nvidia[0-9]*")):
        faults.append(f"{devices}/nvidia0 is missing; give the container every GPU with --device")
    for library in dict.fromkeys(_NOT_LOADED.findall(log)):
        if library in _DRIVER:
            faults.append(
                f"the driver's {library} cannot be loaded; mount its folder at {_FOLDER} and name"
                " that in LD_LIBRARY_PATH"
            )
        else:
            path = variable("LD_LIBRARY_PATH")
            faults.append(f"{library} cannot be loaded; LD_LIBRARY_PATH ({path}) must lead to it")
    if not faults:
        faults += [f"the driver does not start ({reason})" for reason in _NOT_STARTED.findall(log)]
    return "; ".join(faults) or "the driver is loaded and finds no GPU"


def _loader_log() -> str:
    """The log of another process that looks for GPUs."""
    try:
        process = subprocess.run(
            [sys.executable, "-c", _LIST_GPUS],
            env=inherited(**_VERBOSE),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return ""
    return process.stderr
