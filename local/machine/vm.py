"""A Container-Optimized OS VM: its user-data run by cloud-init's rules, on a disk that lasts.

/var is the disk, and not executable. /etc and what `write_files` writes are made anew at every
boot, and so is cloud-init's memory, so that `runcmd` runs at every boot; the rest is read-only.
Unlike there, /home does not last.
"""

import base64
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.machine import host, init
from local.machine.host import Host
from local.machine.sandbox import Bind, Sandbox
from pipeline.errors import UserError

_HEADER = "#cloud-config"
_KEYS = {"bootcmd", "runcmd", "write_files"}
_FILE_KEYS = {"content", "defer", "encoding", "owner", "path", "permissions"}
_COMMANDS = "/run/cloud-init/runcmd"
_WRITABLE = ("/etc", "/home", "/mnt", "/run", "/tmp", "/var")  # noqa: S108 - the VM's own


@dataclass(frozen=True)
class File:
    """One entry of `write_files`."""

    path: str
    content: bytes
    mode: int


@dataclass(frozen=True)
class UserData:
    """What cloud-init does: the files first, then the commands."""

    files: Sequence[File]
    commands: Sequence[str]


def parse(text: str) -> UserData:
    """Parses the `user-data` of a VM's metadata.

    Raises:
        UserError: Not a #cloud-config, or a key that is not stood in for.
    """
    import yaml  # the rest of the machine needs the standard library only, also inside a VM

    if text.split("\n", 1)[0].strip() != _HEADER:
        raise UserError(f"user-data: its first line must be {_HEADER}: cloud-init ignores the rest")
    try:
        data: dict[str, Any] = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise UserError(f"user-data: not YAML: {where}") from error
    _known(data, _KEYS, "user-data")
    files = [_file(entry) for entry in data.get("write_files") or ()]
    commands = [*(data.get("bootcmd") or ()), *(data.get("runcmd") or ())]
    return UserData(files, [_command(entry) for entry in commands])


def _file(entry: dict[str, Any]) -> File:
    _known(entry, _FILE_KEYS, "user-data: write_files")
    content, encoding = entry.get("content") or "", entry.get("encoding") or "text/plain"
    if encoding in {"b64", "base64"}:
        data = base64.b64decode(content)
    elif encoding == "text/plain":
        data = content.encode()
    else:
        raise UserError(f"user-data: write_files: encoding {encoding!r} is not stood in for")
    return File(entry["path"], data, int(str(entry.get("permissions") or "0644"), 8))


def _command(entry: str | list[Any]) -> str:
    return entry if isinstance(entry, str) else shlex.join(map(str, entry))


def _known(fields: dict[str, Any], known: set[str], label: str) -> None:
    for name in fields:
        if name not in known:
            raise UserError(f"{label}: {name!r} is not stood in for on this machine")


def powered_off(disk: Path) -> bool:
    """Whether the VM of this disk was powered off from within, and has not been booted since."""
    return _marker(disk).exists()


def _marker(disk: Path) -> Path:
    return disk / init.POWERED_OFF.relative_to("/var")


def sandbox(
    user_data: UserData, disk: Path, layer: Path, on: Host, network: dict[str, str]
) -> Sandbox:
    """How a VM boots: `layer` becomes the folder of what this boot writes outside the disk."""
    shutil.rmtree(layer, ignore_errors=True)
    layer.mkdir(parents=True)
    disk.mkdir(parents=True, exist_ok=True)
    _marker(disk).unlink(missing_ok=True)
    script = "\n".join([*user_data.commands, ""]).encode()
    for file in (*user_data.files, File(_COMMANDS, script, 0o700)):
        path = Path(file.path)
        on_disk = path.is_relative_to("/var")
        target = disk / path.relative_to("/var") if on_disk else layer / file.path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode)
    return Sandbox(
        command=[f"{host.VENV}/bin/python", "-S", "-E", _program("init.py"), _COMMANDS],
        environment={"PATH": host.PATH, "HOME": "/root", **host.network(network)},
        stage=str(on.stage),
        layers=[str(layer), str(on.tools)],
        binds=[*on.machinery(), Bind(str(disk), "/var", no_exec=True)],
        read_only=True,
        writable=_WRITABLE,
        privileged=True,
    )


def _program(name: str) -> str:
    return str(host.INSIDE / "lib/local/machine" / name)
