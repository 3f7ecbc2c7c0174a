"""Stand-ins for the base images, where no public registry can be reached.

A base is Debian, by mmdebstrap, and this machine's CPython or Go, which is the one the tests run
on. It has the places, the user and the environment of the official image. What it cannot show: that
a newer patch release of Python behaves the same. The configuration with which this machine reaches
its package index is in it, and in no image's own layers.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.real.tools import need

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The libraries that CPython's own modules are linked to.
_PACKAGES = (
    "ca-certificates,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libreadline8,"
    "libsqlite3-0,libssl3,libuuid1,netbase,tzdata,zlib1g"
)
_DOCUMENTS = ("doc", "info", "locale", "man")
_PARTS = ("test", "idlelib", "tkinter", "turtledemo", f"config-{sys.version_info[0]}*")


def archive(image: str, cache: Path) -> tuple[Path, list[str]]:
    """A tar of the base's root file system, made once, and what `docker import --change` adds."""
    name, _, version = image.partition(":")
    program = name.rpartition("/")[2]
    makers: dict[str, tuple[Callable[[Path], None], list[str]]] = {
        "python": (_python, [f"ENV PATH={_PATH} LANG=C.UTF-8", 'CMD ["python3"]']),
        "golang": (_go, [f"ENV PATH=/usr/local/go/bin:{_PATH} {_go_environment()}"]),
        "docker": (_docker, [f"ENV PATH={_PATH}", 'ENTRYPOINT ["/usr/bin/docker"]']),
    }
    if program not in makers or not version:
        pytest.fail(f"{image}: no stand-in is known for this base; there are {list(makers)}")
    make, changes = makers[program]
    recipe = Path(__file__).read_text() + sys.version + _pip_configuration() + _go_environment()
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    file = cache / f"{program}-{digest}.tar"
    if not file.exists():
        for stale in cache.glob(f"{program}-*.tar"):
            stale.unlink()
        _pack(file, [_into(_debian(cache)), make])
    return file, changes


def _debian(cache: Path) -> Path:
    need("mmdebstrap")
    file = cache / "debian-bookworm.tar"
    if not file.exists():
        excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _DOCUMENTS]
        command = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", "--format=tar"]
        subprocess.run(
            [*command, f"--include={_PACKAGES}", *excluded, "bookworm", f"{file}.new"],
            env=os.environ | {"TMPDIR": str(cache)},
            check=True,
        )
        Path(f"{file}.new").rename(file)
    return file


def _into(tar: Path) -> Callable[[Path], None]:
    return lambda root: _run("tar", "-C", root, "-xf", tar)


def _pack(file: Path, steps: Iterable[Callable[[Path], None]]) -> None:
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        root = Path(folder)
        root.chmod(0o755)
        for step in steps:
            step(root)
        _run("tar", "-C", root, "--sort=name", "-cf", f"{file}.new", ".")
    Path(f"{file}.new").rename(file)


def _python(root: Path) -> None:
    """This Python below /usr/local, with pip and setuptools and nothing else installed."""
    prefix = Path(sys.base_prefix)
    library = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    if sys.version_info[:2] != (3, 11) or not (prefix / library / "site-packages/pip").is_dir():
        need_own = "a CPython 3.11 with pip in a prefix of its own, such as pyenv makes"
        pytest.fail(f"{sys.executable}: the stand-in base needs {need_own}")
    local = root / "usr/local"
    shutil.copytree(
        prefix / library,
        local / library,
        symlinks=True,
        ignore=shutil.ignore_patterns("site-packages", "__pycache__", "*.a", *_PARTS),
    )
    for kept in (prefix / library / "site-packages").glob("*"):
        if kept.name.partition("-")[0] in {"pip", "setuptools", "pkg_resources", "_distutils_hack"}:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(kept, local / library / "site-packages" / kept.name, ignore=ignored)
    for shared in (prefix / "lib").glob("libpython3*"):
        shutil.copy2(shared, local / "lib", follow_symlinks=False)
    interpreter = local / "bin" / Path(library).name
    shutil.copy2(prefix / "bin" / interpreter.name, interpreter)
    for name in ("python", "python3"):
        (local / "bin" / name).symlink_to(interpreter.name)
    pip = local / "bin/pip"
    pip.write_text("#!/usr/local/bin/python3\nfrom pip._internal.cli.main import main\nmain()\n")
    pip.chmod(0o755)
    (root / "etc/pip.conf").write_text(_pip_configuration())
    _trust(root)
    _run("chroot", root, "ldconfig")


def _go(root: Path) -> None:
    """This Go below /usr/local/go."""
    need("go")
    found = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, check=True)
    ignored = shutil.ignore_patterns("test", "doc", "api")
    shutil.copytree(found.stdout.strip(), root / "usr/local/go", symlinks=True, ignore=ignored)
    _trust(root)


def _docker(root: Path) -> None:
    """Debian's docker command, as Cloud Build's docker builder has one."""
    need("/usr/bin/docker")
    shutil.copy2("/usr/bin/docker", root / "usr/bin/docker")


def _trust(root: Path) -> None:
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if bundle.exists():
        shutil.copyfile(bundle, root / bundle.relative_to("/"))


def _pip_configuration() -> str:
    """This machine's settings of pip, from files and variables, as one file."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    wanted = {"cert", "default-timeout", "extra-index-url", "index-url", "trusted-host"}
    settings: dict[str, str] = {}
    for line in listed.stdout.splitlines():  # variables come last, and count
        name, _, value = line.partition("=")
        name = name.rpartition(".")[2]
        if name in wanted:
            settings[name] = value.strip("'")
    lines = [f"{name} = {value}" for name, value in sorted(settings.items())]
    return "\n".join(["[global]", *lines, ""])


def _go_environment() -> str:
    if shutil.which("go") is None:
        return ""
    names = ("GOFLAGS", "GONOSUMDB", "GOPROXY", "GOSUMDB")
    told = subprocess.run(
        ["go", "env", "-json", *names], capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(told.stdout)
    return " ".join(f'{name}="{value}"' for name, value in found.items() if value)


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)
