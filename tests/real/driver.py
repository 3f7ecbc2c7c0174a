"""A stand-in driver for TensorFlow's GPU check, as Container-Optimized OS would mount it."""

import subprocess
from pathlib import Path

LIBRARIES = ("libcuda.so.1", "libnvidia-ml.so.1")
CHECK = (
    "from pipeline.errors import UserError\n"
    "from trainer_image.driver import require_gpu\n"
    "try:\n    require_gpu()\n    print('passed')\n"
    "except UserError as error:\n    print(error)\n"
)
"""For `python -c` where the trainer is installed: prints `passed`, or what is missing."""


def build(folder: Path) -> Path:
    """Compile the stand-in's libraries into `folder`, for /usr/local/nvidia/lib64 of a container.

    They need nothing but the C library, of which they use what every version has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).with_name("driver.c")
    for library in LIBRARIES:
        command = ["gcc", "-shared", "-fPIC", "-O1", "-o", folder / library, source]
        subprocess.run(command, check=True, capture_output=True)
    return folder
