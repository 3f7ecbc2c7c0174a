"""What the trainer logs if TensorFlow sees no GPU."""

from pathlib import Path

import pytest

from pipeline.errors import UserError
from trainer_image import driver

# Logged by TensorFlow 2.21 with the locked wheels: without a driver, and with one that answers
# "one L4" but without cuSOLVER's folder on LD_LIBRARY_PATH.
NO_DRIVER = """\
I0000 dso_loader.cc:144] Could not load dynamic library 'libcuda.so.1'; dlerror: libcuda.so.1: \
cannot open shared object file: No such file or directory; LD_LIBRARY_PATH:
E0000 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: \
UNKNOWN ERROR (303)
"""
NO_CUSOLVER = """\
I0000 dso_loader.cc:133] Successfully opened dynamic library libcuda.so.1
I0000 dso_loader.cc:144] Could not load dynamic library 'libcusolver.so.11'; dlerror: \
libcusolver.so.11: cannot open shared object file: No such file or directory; LD_LIBRARY_PATH: /x
Skipping registering GPU devices...
"""
NOT_STARTED = """\
E0000 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: \
CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected
"""


@pytest.mark.parametrize(
    ("log", "named", "not_named"),
    [
        (NO_DRIVER, ["libcuda.so.1", "/usr/local/nvidia/lib64"], "does not start"),
        (NO_CUSOLVER, ["libcusolver.so.11", "LD_LIBRARY_PATH (/x)"], "libcuda"),
        (NOT_STARTED, ["does not start", "CUDA_ERROR_NO_DEVICE"], "LD_LIBRARY_PATH"),
        ("", ["finds no GPU"], "libcuda"),
    ],
)
def test_the_error_names_what_tensorflow_found_missing(
    log: str, named: list[str], not_named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/x")
    (tmp_path / "nvidia0").touch()
    found = driver.missing(log, tmp_path)
    assert all(part in found for part in named)
    assert not_named not in found
    assert "\n" not in found
    assert "nvidia0" not in found
    (tmp_path / "nvidia0").unlink()
    assert f"{tmp_path}/nvidia0 is missing" in driver.missing(log, tmp_path)


def test_tensorflow_without_cuda_is_told_from_a_machine_without_a_gpu() -> None:
    with pytest.raises(UserError, match="built without CUDA"):
        driver.require_gpu()
