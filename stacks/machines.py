"""Compute Engine's machine types that can train, and the GPUs that they can have.

Source: https://cloud.google.com/compute/docs/gpus (2026-11).
"""

import re

# Machine types that have GPUs of their own, with their sizes.
_BUNDLED = {
    "g2-standard": {"4", "8", "12", "16", "24", "32", "48", "96"},  # L4
    "a2-highgpu": {"1g", "2g", "4g", "8g"},  # A100 40 GB
    "a2-ultragpu": {"1g", "2g", "4g", "8g"},  # A100 80 GB
    "a3-highgpu": {"1g", "2g", "4g", "8g"},  # H100
}
# GPUs that can be attached to n1 machines, with their possible counts.
ATTACHED = {
    "nvidia-tesla-t4": {1, 2, 4},
    "nvidia-tesla-p4": {1, 2, 4},
    "nvidia-tesla-p100": {1, 2, 4},
    "nvidia-tesla-v100": {1, 2, 4, 8},
}
_GENERAL = re.compile(r"(n1|n2|n2d|e2|c2|c2d|c3|c4|t2d)-(standard|highmem|highcpu)-[0-9]{1,3}")


def _split(machine_type: str) -> tuple[str, str]:
    family, _, size = machine_type.rpartition("-")
    return family, size


def bundles_gpu(machine_type: str) -> bool:
    """Whether the machine type has GPUs of its own."""
    return _split(machine_type)[0] in _BUNDLED


def check(machine_type: str, gpu: tuple[str, int] | None) -> None:
    """Check that Compute Engine has such a machine with these GPUs (type, count).

    Raises:
        ValueError: There is no such machine. The text names the key, the value, and the possible
            values.
    """
    family, size = _split(machine_type)
    if family in _BUNDLED:
        if size not in _BUNDLED[family]:
            sizes = ", ".join(f"{family}-{s}" for s in sorted(_BUNDLED[family], key=_number))
            raise ValueError(f"machine_type: {machine_type!r} does not exist; use one of {sizes}")
        if gpu is not None:
            raise ValueError(
                f"gpu: {machine_type!r} has its own GPUs; remove `gpu`, or use an n1 machine"
            )
        return
    if not _GENERAL.fullmatch(machine_type):
        raise ValueError(
            f"machine_type: {machine_type!r} is unknown; use one with GPUs, such as"
            " 'g2-standard-4' or 'a2-highgpu-1g', or 'n1-standard-4' with `gpu`"
        )
    if gpu is None:
        return
    kind, count = gpu
    if kind not in ATTACHED:
        raise ValueError(f"gpu.type: {kind!r} is unknown; use one of {', '.join(ATTACHED)}")
    counts = ", ".join(map(str, sorted(ATTACHED[kind])))
    if count not in ATTACHED[kind]:
        raise ValueError(f"gpu.count: a machine can have {counts} of {kind}, not {count}")
    if not machine_type.startswith("n1-"):
        raise ValueError(
            f"gpu: {kind} can be attached to n1 machines only, not to {machine_type!r};"
            " use 'n1-standard-4', or a machine with its own GPU, such as 'g2-standard-4'"
        )


def _number(size: str) -> int:
    return int(size.rstrip("g"))
