"""Stands in for cloud-init on a VM with Container-Optimized OS, and for its file system.

Every boot does `write_files` and `runcmd`, because neither /etc nor cloud-init's memory lasts
(https://cloud.google.com/container-optimized-os/docs/concepts/disks-and-filesystem). /var is the
disk: it lasts and is not executable. /etc is writable, the rest is read-only. It cannot show other
modules of cloud-init, and a /home that lasts.
"""

import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local.containers import host, vm_init
from local.containers.bubblewrap import Bind, Sandbox
from local.containers.host import Host
from pipeline.errors import UserError

_HEADER = "#cloud-config"
_KEYS = {"runcmd", "write_files"}
_FILE_KEYS = {"content", "owner", "path", "permissions"}
_COMMANDS = "/run/cloud-init/runcmd"
_WRITABLE = ("/etc", "/home", "/mnt", "/run", "/tmp", "/var")  # noqa: S108 - the VM's own


@dataclass(frozen=True)
class File:
    """A file that cloud-init writes."""

    path: str
    content: bytes
    mode: int


def parse(text: str) -> list[File]:
    """The files that the `user-data` of a VM's metadata describes; the last one runs its commands.

    Raises:
        UserError: It is not a #cloud-config, or it has a key that is not stood in for.
    """
    if text.split("\n", 1)[0].strip() != _HEADER:
        raise UserError(f"user-data: its first line must be {_HEADER}: cloud-init ignores the rest")
    try:
        data: dict[str, Any] = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise UserError(f"user-data: not YAML: {where}") from error
    _known(data, _KEYS, "user-data")
    commands = [
        entry if isinstance(entry, str) else shlex.join(map(str, entry))
        for entry in data.get("runcmd") or ()
    ]
    script = "".join(f"{command}\n" for command in commands)
    return [
        *(_file(entry) for entry in data.get("write_files") or ()),
        File(_COMMANDS, script.encode(), 0o700),
    ]


def _file(entry: dict[str, Any]) -> File:
    _known(entry, _FILE_KEYS, "user-data: write_files")
    content = (entry.get("content") or "").encode()
    return File(entry["path"], content, int(str(entry.get("permissions") or "0644"), 8))


def _known(fields: dict[str, Any], known: set[str], label: str) -> None:
    for name in fields:
        if name not in known:
            raise UserError(f"{label}: {name!r} is not stood in for on this machine")


def powered_off(disk: Path) -> bool:
    """Whether the VM of this disk powered itself off and has not been booted since."""
    return _marker(disk).exists()


def _marker(disk: Path) -> Path:
    return disk / vm_init.POWERED_OFF.relative_to("/var")


def sandbox(
    files: Iterable[File], disk: Path, layer: Path, on: Host, network: Mapping[str, str]
) -> Sandbox:
    """How a VM boots. The folder `layer` becomes what this boot writes outside the disk."""
    shutil.rmtree(layer, ignore_errors=True)
    layer.mkdir(parents=True)
    disk.mkdir(parents=True, exist_ok=True)
    _marker(disk).unlink(missing_ok=True)
    for file in files:
        path = Path(file.path)
        on_disk = path.is_relative_to("/var")
        target = disk / path.relative_to("/var") if on_disk else layer / file.path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode)
    return Sandbox(
        command=[f"{host.VENV}/bin/python", "-S", "-E", _program("vm_init.py"), _COMMANDS],
        environment={"PATH": host.PATH, "HOME": "/root", **host.network(network)},
        layers=[str(layer), str(on.tools)],
        binds=[*on.machinery(), Bind(str(disk), "/var")],
        read_only=True,
        writable=_WRITABLE,
        privileged=True,
    )


def _program(name: str) -> str:
    return str(host.INSIDE / "lib/local/containers" / name)
