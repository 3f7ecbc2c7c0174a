"""Pulumi's command-line program: finds or makes it, and runs it against the local cloud."""

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
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from pipeline.errors import UserError

ROOT = Path(__file__).resolve().parent.parent

# What Pulumi.yaml asks for, and below the next major version.
OLDEST = (3, 200)
# What the Automation API downloads; where it cannot be had, Go builds `BUILT`: the newest release
# with a language host among its modules, see tools/.
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

# The stack's state and secrets are as throw-away as the local cloud.
PASSPHRASE = "local"  # noqa: S105


class _Unavailable(Exception):
    """This way to a CLI leads nowhere; the text says why."""


def cli(cache: Path = ROOT / ".cache" / "pulumi") -> Path:
    """The path of a Pulumi CLI of an accepted version, with its Python language host beside it.

    It is taken from PATH or from `cache`, else downloaded, else built with Go (minutes, once).
    Raises UserError that lists what was tried.
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


def environment(program: Path, home: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """The environment in which the CLI `program` knows only the local cloud.

    `home` holds state, plugins and settings; `ports` are those of the local providers. Nothing of
    the caller's own Pulumi settings is passed on.
    """
    state = home.resolve() / "state"
    state.mkdir(parents=True, exist_ok=True)
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")
    }
    return {
        **inherited,
        "PATH": os.pathsep.join([f"{sys.prefix}/bin", str(program.parent), os.environ["PATH"]]),
        "VIRTUAL_ENV": sys.prefix,
        # Without files of attributes beside it: a CLI killed while it writes one leaves it empty,
        # and the next one refuses the state.
        "PULUMI_BACKEND_URL": f"{state.as_uri()}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_DEBUG_PROVIDERS": ",".join(f"{name}:{port}" for name, port in ports.items()),
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_ERROR_OUTPUT_STRING": "1",
        "PULUMI_HOME": str(home.resolve() / "pulumi"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }


def command(
    arguments: Sequence[str], home: Path, ports: Mapping[str, int]
) -> tuple[list[str], dict[str, str]]:
    """What to run, and in which environment, for `pulumi ARGUMENTS` against the local cloud."""
    program = cli()
    return [str(program), *arguments], environment(program, home, ports)


def _on_path(cache: Path) -> Path:
    del cache
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
    """The official build, by the Automation API's own installer."""
    with _made_whole(cache / SDK) as folder:
        what = f"downloading the Pulumi CLI {SDK}"
        _run([sys.executable, "-c", _INSTALL, str(folder)], what, _DOWNLOAD_SECONDS)
    return _cached(cache)


def _built(cache: Path) -> Path:
    """The CLI, and its Python language host, as ordinary Go programs."""
    if shutil.which("go") is None:
        raise _Unavailable("there is no Go to build it with")
    with _made_whole(cache / BUILT) as folder:
        binaries = folder / "bin"
        _go_build("pulumi", "pkg/v3/cmd/pulumi", binaries)
        _go_build("language-host", "sdk/v3/python/cmd/pulumi-language-python", binaries)
        _copy_executor(binaries)
    return _cached(cache)


def _go_build(tool: str, package: str, folder: Path) -> None:
    """Build a package of Pulumi's with the go.mod and go.sum of tools/`tool`."""
    program = folder / package.rsplit("/", 1)[-1]
    flags = f"-s -w -X {_MODULE}/sdk/v3/go/common/version.Version={BUILT}"
    with _copy_of_modules(tool) as modules:
        _run(
            [
                "go",
                "build",
                "-mod=mod",
                "-ldflags",
                flags,
                "-o",
                str(program),
                f"{_MODULE}/{package}",
            ],
            f"building {program.name} with Go, once (3 to 6 minutes)",
            _BUILD_SECONDS,
            modules,
        )


def _copy_executor(folder: Path) -> None:
    """The script by which the language host runs a program; it is no Go, but lies in the module."""
    with _copy_of_modules("pulumi") as modules:
        listing = ["go", "list", "-mod=mod", "-m", "-f", "{{.Dir}}", f"{_MODULE}/sdk/v3"]
        source = Path(_run(listing, "finding the language host", _BUILD_SECONDS, modules).strip())
    name = "pulumi-language-python-exec"
    shutil.copyfile(source / "python" / "cmd" / name, folder / name)
    (folder / name).chmod(0o755)


@contextlib.contextmanager
def _copy_of_modules(tool: str) -> Generator[Path]:
    """A folder with the tool's go.mod and go.sum, which Go may complete."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("go.mod", "go.sum"):
            shutil.copy(ROOT / "tools" / tool / name, folder)
        yield Path(folder)


@contextlib.contextmanager
def _made_whole(folder: Path) -> Generator[Path]:
    """A new folder that becomes `folder` when all went well; another process may be as far."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as temporary:
        work = Path(temporary) / folder.name
        work.mkdir()
        yield work
        with contextlib.suppress(OSError):
            work.rename(folder)


def _run(arguments: list[str], what: str, seconds: int, folder: Path | None = None) -> str:
    """The output of a program that may take long; says every few seconds that it still runs."""
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
    """`program`, if its version and its language host are such that it can run this project."""
    folders = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    if shutil.which("pulumi-language-python", path=folders) is None:
        raise _Unavailable(f"{program} has no pulumi-language-python beside it")
    try:
        answer = subprocess.run(
            [str(program), "version"],
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        raise _Unavailable(f"{program} does not run: {error}") from error
    found = re.fullmatch(r"v?(\d+)\.(\d+)\..*", answer)
    if found is None or (int(found[1]), int(found[2])) < OLDEST or int(found[1]) > OLDEST[0]:
        raise _Unavailable(f"{program} is of version {answer}")
    return program


def main() -> None:
    """`python -m local.pulumi`: make sure that there is a CLI, and print its path."""
    try:
        print(cli())
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
