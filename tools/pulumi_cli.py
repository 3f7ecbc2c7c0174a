"""Pulumi's command-line program: finds it, downloads it, or builds it.

`python -m tools.pulumi_cli` makes sure that there is one, and prints its path.
"""

import contextlib
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

from pipeline.errors import UserError

ROOT = Path(__file__).resolve().parent.parent

# Pulumi.yaml asks for it. The next major version is too new.
OLDEST = (3, 200)
# The Automation API downloads version `SDK`. Where it cannot, Go builds version `BUILT`: the newest
# release whose modules include a language host, see tools/.
SDK = importlib.metadata.version("pulumi")
BUILT = "3.259.0"
_MODULE = "github.com/pulumi/pulumi"
_INSTALL = """
import socket, sys
socket.setdefaulttimeout(15)  # the installer sets none
from pulumi.automation import PulumiCommand
PulumiCommand.install(root=sys.argv[1])
"""
_DOWNLOAD_SECONDS = 300
_BUILD_SECONDS = 1800
_REPORT_SECONDS = 10


class _Unavailable(Exception):
    """This way to a CLI failed. The text says why."""


def cli(cache: Path = ROOT / ".cache" / "pulumi") -> Path:
    """Returns the path of a Pulumi CLI of an accepted version that has a Python language host.

    Looks on PATH and in `cache`, else downloads it, else builds it with Go (minutes, once).

    Raises:
        UserError: There is none. The text lists what was tried.
    """
    tried: list[str] = []
    for way in (_on_path, _cached, _downloaded, _built):
        try:
            return way(cache)
        except _Unavailable as reason:
            tried.append(str(reason))
    raise UserError(
        f"there is no Pulumi CLI ({'; '.join(tried)}); "
        f"install Pulumi {OLDEST[0]}.{OLDEST[1]} or newer, or Go 1.26, and try again"
    )


def _on_path(_cache: Path) -> Path:
    found = shutil.which("pulumi")
    if found is None:
        raise _Unavailable("PATH has none")
    return _accepted(Path(found).resolve())


def _cached(cache: Path) -> Path:
    for folder in (cache / SDK, cache / BUILT):
        if folder.is_dir():
            return _accepted(folder / "bin" / "pulumi")
    raise _Unavailable(f"{cache} has none")


def _downloaded(cache: Path) -> Path:
    """Downloads the official build with the Automation API's own installer."""
    with _made_whole(cache / SDK) as folder:
        what = f"downloading the Pulumi CLI {SDK}"
        _run([sys.executable, "-c", _INSTALL, str(folder)], what, _DOWNLOAD_SECONDS)
    return _cached(cache)


def _built(cache: Path) -> Path:
    """Builds the CLI and its Python language host, which are ordinary Go programs."""
    if shutil.which("go") is None:
        raise _Unavailable("there is no Go to build it with")
    with _made_whole(cache / BUILT) as folder:
        binaries = folder / "bin"
        _go_build("pulumi", "pkg/v3/cmd/pulumi", binaries)
        _go_build("language-host", "sdk/v3/python/cmd/pulumi-language-python", binaries)
        _copy_executor(binaries)
    return _cached(cache)


def _go_build(tool: str, package: str, folder: Path) -> None:
    """Builds a package of Pulumi's with the go.mod and go.sum of tools/`tool`."""
    program = folder / package.rsplit("/", 1)[-1]
    flags = f"-s -w -X {_MODULE}/sdk/v3/go/common/version.Version={BUILT}"
    with _copy_of_modules(tool) as modules:
        build = ["go", "build", "-mod=mod", "-ldflags", flags]
        _run(
            [*build, "-o", str(program), f"{_MODULE}/{package}"],
            f"building {program.name} with Go, once (3 to 6 minutes)",
            _BUILD_SECONDS,
            modules,
        )


def _copy_executor(folder: Path) -> None:
    """Copies the script with which the language host runs a program, a part of its Go module."""
    with _copy_of_modules("pulumi") as modules:
        listing = ["go", "list", "-mod=mod", "-m", "-f", "{{.Dir}}", f"{_MODULE}/sdk/v3"]
        source = Path(_run(listing, "finding the language host", _BUILD_SECONDS, modules).strip())
    name = "pulumi-language-python-exec"
    shutil.copyfile(source / "python" / "cmd" / name, folder / name)
    (folder / name).chmod(0o755)


@contextlib.contextmanager
def _copy_of_modules(tool: str) -> Generator[Path]:
    """Yields a folder with the tool's go.mod and go.sum, which Go may complete."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("go.mod", "go.sum"):
            shutil.copy(ROOT / "tools" / tool / name, folder)
        yield Path(folder)


@contextlib.contextmanager
def _made_whole(folder: Path) -> Generator[Path]:
    """Yields a new folder that becomes `folder` on success, unless another process was first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as temporary:
        work = Path(temporary) / folder.name
        work.mkdir()
        yield work
        with contextlib.suppress(OSError):
            work.rename(folder)


def _run(arguments: list[str], what: str, seconds: int, folder: Path | None = None) -> str:
    """Returns the output of a long program. Prints every few seconds that it still runs."""
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while (passed := int(time.monotonic() - started)) < seconds:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_REPORT_SECONDS)
                    break
                print(f"{what}: {passed + _REPORT_SECONDS} s", file=sys.stderr, flush=True)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
        output.seek(0)
        text = output.read()
    if status != 0:
        last = text.strip().rsplit("\n", 1)[-1]
        raise _Unavailable(f"{what} failed: {last or f'stopped after {passed} s'}")
    return text


def _accepted(program: Path) -> Path:
    """Returns `program` if its version and its language host can run this project."""
    folders = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    if shutil.which("pulumi-language-python", path=folders) is None:
        raise _Unavailable(f"{program} has no pulumi-language-python beside it")
    try:
        version = subprocess.run(
            [str(program), "version"],
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        raise _Unavailable(f"{program} does not run: {error}") from error
    found = re.fullmatch(r"v?(\d+)\.(\d+)\..*", version)
    if found is None or (int(found[1]), int(found[2])) < OLDEST or int(found[1]) > OLDEST[0]:
        raise _Unavailable(f"{program} is of version {version}")
    return program


def main() -> None:
    """Prints the path of a CLI, made if need be."""
    try:
        print(cli())
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
