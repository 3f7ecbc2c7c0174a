"""A command in a file system of its own: private mounts and processes, an image over the host.

The root is a tmpfs. Each top folder is an overlay whose lower layers are the image's folder and,
for the system's folders, the host's; what is written there is lost at the end. The command is
process 1 of its own process namespace, as in a container: it gets the signals, a signal that it
does not handle is ignored, and when it ends the kernel ends all that it started. As an ordinary
user all this happens in a user namespace, in which that user appears as root.

Run as a file this is the process that starts one sandbox and waits for it. Standard library only.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

# The host's folders that every sandbox shows. Not /opt, /home or /root: what a program needs from
# there is lent to it by name.
SYSTEM = ("bin", "etc", "lib", "lib32", "lib64", "sbin", "usr")

REFUSED = (
    "this kernel refuses the namespaces that containers run in ({error}): run as root, or allow"
    " them to users (sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000"
    " kernel.apparmor_restrict_unprivileged_userns=0; inside Docker: docker run --privileged)"
)
CANNOT_START = 125  # docker's own status for what fails before the command runs

# <linux/sched.h>, <linux/mount.h>, <linux/prctl.h>, <linux/capability.h>
_NEW_MOUNTS, _NEW_USER, _NEW_PIDS = 0x00020000, 0x10000000, 0x20000000
_NEW_NETWORK = 0x40000000
_READ_ONLY, _NO_SUID, _NO_DEV, _NO_EXEC, _REMOUNT = 0x1, 0x2, 0x4, 0x8, 0x20
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000
_DETACH = 2
_PARENT_DEATH_SIGNAL, _DROP_FROM_BOUNDING_SET = 1, 24
_SYS_ADMIN = 21

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Bind:
    """A file or folder of the host, shown at an absolute path of the sandbox."""

    source: str
    target: str
    read_only: bool = False
    no_exec: bool = False


@dataclass(frozen=True)
class Sandbox:
    """What runs, and what it sees.

    Attributes:
        command: The program, looked up in the PATH of `environment`, and its arguments.
        environment: All of it; nothing is inherited.
        stage: An existing folder to mount on; nothing is written there.
        directory: The working directory; made where it is missing.
        layers: Folders laid over the system's, the topmost first.
        binds: In this order, so that one may lie within another.
        host: The folder in which the host's system folders are found.
        read_only: Whether everything but binds and `writable` refuses to be written.
        writable: Absolute folders that are not read-only; those that no layer has are a tmpfs.
        privileged: Whether the command may mount.
        isolated: Whether it has no network.
    """

    command: Sequence[str]
    environment: dict[str, str]
    stage: str
    directory: str = "/"
    layers: Sequence[str] = ()
    binds: Sequence[Bind] = ()
    host: str = "/"
    read_only: bool = False
    writable: Sequence[str] = ()
    privileged: bool = False
    isolated: bool = False

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> "Sandbox":
        """The sandbox that `asdict` wrote."""
        binds = [Bind(**bind) for bind in fields.pop("binds")]
        return cls(**fields, binds=binds)


def start(sandbox: Sandbox, log: IO[bytes], lifeline: int) -> subprocess.Popen[bytes]:
    """Starts a sandbox under a process that passes it signals and ends with its status.

    The status is as a shell gives it (128 + signal), 126 or 127 where the command cannot be run and
    125 where the sandbox itself cannot be made. The whole tree is killed when the process returned
    here is killed, or when the other end of `lifeline` (the read end of a pipe) is closed.
    """
    process = subprocess.Popen(
        [sys.executable, "-S", "-E", __file__, str(lifeline)],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        cwd="/",
        start_new_session=True,
        pass_fds=[lifeline],
    )
    assert process.stdin is not None
    # By a pipe, not by arguments or environment: those can be read by others, and hold secrets.
    with process.stdin as pipe:
        pipe.write(json.dumps(asdict(sandbox)).encode())
    return process


def run(sandbox: Sandbox, lifeline: int | None = None) -> int:
    """Runs a sandbox to its end in a child of this process; returns the status (see `start`)."""
    sys.stdout.flush()
    try:
        _new_namespaces(_NEW_NETWORK if sandbox.isolated else 0)
    except OSError as error:
        print(f"machine: {REFUSED.format(error=error.strerror)}", file=sys.stderr)
        return CANNOT_START
    child = os.fork()
    if child == 0:
        _become(sandbox)
    for number in _FORWARDED:
        signal.signal(number, lambda number, _: os.kill(child, number))
    if lifeline is not None:
        ended = os.pidfd_open(child)
        ready, _, _ = select.select([lifeline, ended], [], [])
        if ended not in ready:
            os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def _new_namespaces(more: int) -> None:
    if _libc.unshare(_NEW_MOUNTS | _NEW_PIDS | more) == 0:
        return
    user, group = os.geteuid(), os.getegid()
    _check(_libc.unshare(_NEW_USER | _NEW_MOUNTS | _NEW_PIDS | more), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _become(sandbox: Sandbox) -> NoReturn:
    """Turns this process, the first of its namespace, into the sandbox's command."""
    try:
        _check(_libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL), "prctl")
        os.setsid()
        _enter_root(sandbox)
        if not sandbox.privileged:
            _check(_libc.prctl(_DROP_FROM_BOUNDING_SET, _SYS_ADMIN, 0, 0, 0), "prctl")
    except PermissionError as error:
        print(f"machine: {REFUSED.format(error=error)}", file=sys.stderr, flush=True)
        os._exit(CANNOT_START)
    except OSError as error:
        print(f"machine: cannot make the sandbox: {error}", file=sys.stderr, flush=True)
        os._exit(CANNOT_START)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvpe(sandbox.command[0], list(sandbox.command), sandbox.environment)  # noqa: S606
    except OSError as error:
        print(f"machine: {sandbox.command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _enter_root(sandbox: Sandbox) -> None:
    _mount("none", "/", "", _RECURSIVE | _PRIVATE)
    stage = Path(sandbox.stage)
    _mount("tmpfs", str(stage), "tmpfs", 0, "mode=755")
    root = stage / "root"
    root.mkdir()
    _mount(str(root), str(root), "", _BIND)
    overlays = _show_layers(sandbox, stage, root)
    for folder in ("dev", "home", "opt", "proc", "root", "run", "sys", "tmp", "var"):
        (root / folder).mkdir(exist_ok=True)
    if "tmp" not in overlays:
        (root / "tmp").chmod(0o1777)
    _show_kernel(root)
    writable = {path.strip("/") for path in sandbox.writable}
    for folder in sorted(writable - overlays):
        (root / folder).mkdir(parents=True, exist_ok=True)
        _mount("tmpfs", str(root / folder), "tmpfs", 0, "mode=1777")
    for bind in sandbox.binds:
        _bind(bind, root)
    (root / sandbox.directory.lstrip("/")).mkdir(parents=True, exist_ok=True)
    if sandbox.read_only:
        for folder in sorted(overlays - writable):
            _remount(root / folder, _READ_ONLY)
        _remount(root, _READ_ONLY)
    os.chdir(root)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _DETACH), "umount2")
    os.chdir(sandbox.directory)


def _show_layers(sandbox: Sandbox, stage: Path, root: Path) -> set[str]:
    """Overlays the layers on the system's folders; returns the top folders that are overlays."""
    layers = [Path(layer) for layer in sandbox.layers]
    overlays: set[str] = set()
    for top in sorted({*SYSTEM, *(entry.name for layer in layers for entry in layer.iterdir())}):
        if top in SYSTEM and Path("/", top).is_symlink():
            (root / top).symlink_to(Path("/", top).readlink())
            continue
        lower = [layer / top for layer in layers]
        if top in SYSTEM:
            lower.append(Path(sandbox.host, top))
        folders = [folder for folder in lower if folder.is_dir()]
        if folders:
            overlays.add(top)
            _overlay(top, folders, sandbox.binds, stage, root)
        for file in [path for path in lower if path.is_file()][:1]:
            shutil.copy2(file, root / top)
    return overlays


def _overlay(
    top: str, folders: Sequence[Path], binds: Sequence[Bind], stage: Path, root: Path
) -> None:
    upper, work = stage / "upper" / top, stage / "work" / top
    for folder in (upper, work, root / top):
        folder.mkdir(parents=True)
    upper.chmod(folders[0].stat().st_mode & 0o7777)
    # Mount points are made in the overlay's own layer: a user namespace may not make them in a
    # folder that belongs to the host's root.
    for bind in binds:
        if bind.target.startswith(f"/{top}/"):
            _mount_point(Path(bind.source), stage / "upper" / bind.target.lstrip("/"))
    layers = ":".join(_escaped(folder) for folder in folders)
    options = f"lowerdir={layers},upperdir={_escaped(upper)},workdir={_escaped(work)}"
    if _in_user_namespace():
        options += ",userxattr"
    _mount("overlay", str(root / top), "overlay", 0, options)


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _in_user_namespace() -> bool:
    return Path("/proc/self/uid_map").read_text().split()[2] != "4294967295"


def _show_kernel(root: Path) -> None:
    for folder in ("dev", "sys"):
        _mount(f"/{folder}", str(root / folder), "", _BIND | _RECURSIVE)
    try:
        _mount("proc", str(root / "proc"), "proc", _NO_SUID | _NO_DEV | _NO_EXEC)
    except OSError:  # a user namespace inside a container that hides parts of its own /proc
        _mount("/proc", str(root / "proc"), "", _BIND | _RECURSIVE)


def _bind(bind: Bind, root: Path) -> None:
    target = root / bind.target.lstrip("/")
    _mount_point(Path(bind.source), target)
    _mount(bind.source, str(target), "", _BIND | _RECURSIVE)
    flags = (_READ_ONLY if bind.read_only else 0) | (_NO_EXEC if bind.no_exec else 0)
    if flags:
        _remount(target, flags)


def _mount_point(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()


def _remount(target: Path, flags: int) -> None:
    # A user namespace may add restrictions, but must repeat those that the mount has.
    kept = os.statvfs(target).f_flag & (_READ_ONLY | _NO_SUID | _NO_DEV | _NO_EXEC)
    _mount("none", str(target), "", _REMOUNT | _BIND | kept | flags)


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()
    )
    _check(result, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def main() -> int:
    """Reads a sandbox from standard input and runs it; the argument is its lifeline."""
    sandbox = Sandbox.parse(json.load(sys.stdin))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    lifeline = int(sys.argv[1])
    os.set_inheritable(lifeline, False)
    return run(sandbox, lifeline)


if __name__ == "__main__":
    sys.exit(main())
