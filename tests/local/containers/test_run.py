"""Running an image: what its program sees, which signals reach it, and what outlives it."""

# pyright: reportPrivateUsage=false

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.containers.runtime import ContainerRuntime
from pipeline.errors import UserError

CONTRACTS = {"local/containers/docker_run.py": "`docker run`, as documented"}

IMAGE = "europe-west4-docker.pkg.dev/project/bots/app:1"
REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = """\
import json, os, sys
from pathlib import Path
json.dump({
    "arguments": sys.argv[1:],
    "directory": os.getcwd(),
    "environment": dict(os.environ),
    "executable": sys.executable,
    "root": sorted(os.listdir("/")),
    "path": [path for path in sys.path if Path(path).exists()],
    "seen": {path: Path(path).exists() for path in json.loads(os.environ.get("LOOK", "[]"))},
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> ContainerRuntime:
    return ContainerRuntime(tmp_path_factory.mktemp("machine"))


@pytest.fixture
def run(runtime: ContainerRuntime, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs the image to its end; returns its status and what it printed."""

    def run(**options: Any) -> tuple[int, str]:
        with (tmp_path / "log").open("w+b") as log:
            status = runtime.run(IMAGE, log=log, **options).wait(30)
            log.seek(0)
            return status, log.read().decode()

    return run


@pytest.fixture(autouse=True, scope="module")
def image(runtime: ContainerRuntime, tmp_path_factory: pytest.TempPathFactory) -> None:
    publish(runtime, tmp_path_factory.mktemp("repo"), 'ENTRYPOINT ["python", "-m", "app"]')


def publish(runtime: ContainerRuntime, repo: Path, last: str) -> None:
    (repo / "app").mkdir()
    (repo / "app/__main__.py").write_text(PROGRAM)
    text = f"FROM python:3.11-slim\nENV KIND=app\nWORKDIR /srv\nCOPY app app\n{last}\n"
    (repo / "Dockerfile").write_text(text)
    runtime.build(repo, repo / "Dockerfile", IMAGE)
    runtime.push(IMAGE)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def processes(mark: str, program: str = "") -> list[int]:
    """The processes of this machine with this word in their arguments, or only a program's."""
    return [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit()
        and mark in arguments(folder)
        and program in ("", arguments(folder)[0])
    ]


def arguments(folder: Path) -> list[str]:
    try:
        return (folder / "cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []


def test_a_program_gets_the_declared_environment_the_network_and_nothing_else(
    run: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_OPERATOR", "x")
    env, network = {"ACCOUNT": "keeper"}, {"CLOCK": "2026-11-23T00:00:00Z"}
    _, output = run(args=["post"], env=env, network=network)
    seen = json.loads(output)
    assert set(seen["environment"]) == {
        *("ACCOUNT", "CLOCK", "KIND"),
        *("HOME", "HOSTNAME", "LANG", "PATH", "PYTHON_VERSION"),
    }
    assert seen["environment"]["ACCOUNT"] == "keeper"
    assert (seen["arguments"], seen["directory"]) == (["post"], "/srv")


def test_a_program_sees_its_image_and_libraries_and_not_the_repository(
    run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    look = [str(REPOSITORY), str(tmp_path), "/srv/app", "/opt/machine", "/home", "/etc/hosts"]
    _, output = run(env={"LOOK": json.dumps(look)})
    seen = json.loads(output)
    assert [seen["seen"][path] for path in look] == [False, False, True, False, True, True]
    assert seen["executable"].startswith("/opt/venv/")
    assert not any(path.startswith(str(REPOSITORY)) for path in seen["path"])


def test_what_a_program_writes_is_gone_at_its_end(run: Callable[..., tuple[int, str]]) -> None:
    script = "touch /srv/x /usr/local/x /tmp/x /x; ls /srv /usr/local /tmp /"
    if os.geteuid() != 0:
        script = "touch /srv/x /tmp/x /x; ls /srv /tmp /"
    _, first = run(entrypoint=["sh", "-c", script])
    _, second = run(entrypoint=["sh", "-c", "ls /srv /usr/local /tmp /"])
    assert "x" in first.split()
    assert "x" not in second.split()
    assert not Path("/usr/local/x").exists()


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "sh -c 'kill -9 $$'"], 137),
        (["no-such-program"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_the_status_is_the_programs_own(
    run: Callable[..., tuple[int, str]], command: list[str], status: int
) -> None:
    assert run(entrypoint=command)[0] == status


def test_a_program_that_is_killed_by_a_signal_ends_with_128_and_its_number(
    runtime: ContainerRuntime, tmp_path: Path
) -> None:
    with (tmp_path / "log").open("wb") as log:
        process = runtime.run(IMAGE, entrypoint=["sleep", "61.25"], log=log)
        wait_for(lambda: bool(processes("61.25", program="sleep")))
        os.kill(processes("61.25", program="sleep")[0], signal.SIGKILL)
        assert process.wait(10) == 128 + signal.SIGKILL


HANDLER = """\
import signal, sys, time
asked = []
def ask(*_):
    asked.append(1)
    print("asked", flush=True)
signal.signal(signal.SIGTERM, ask)
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(len(asked)))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("to_group", [True, False])
def test_sigterm_reaches_the_program_once(
    runtime: ContainerRuntime, tmp_path: Path, to_group: bool
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = runtime.run(IMAGE, entrypoint=["python", "-c", HANDLER], log=output)
    wait_for(lambda: b"ready" in log.read_bytes())
    if to_group:
        os.killpg(process.pid, signal.SIGTERM)
    else:
        process.terminate()
    wait_for(lambda: b"asked" in log.read_bytes())
    process.send_signal(signal.SIGUSR1)
    assert process.wait(10) == 1


@pytest.mark.parametrize("how", ["kill", "end"])
def test_nothing_that_a_program_started_outlives_it(
    runtime: ContainerRuntime, tmp_path: Path, how: str
) -> None:
    mark = f"62.{len(how)}"
    script = f"setsid sleep {mark} & sleep {mark} & echo started; " + ("wait" * (how == "kill"))
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = runtime.run(IMAGE, entrypoint=["sh", "-c", script], log=output)
    wait_for(lambda: b"started" in log.read_bytes())
    if how == "kill":
        process.kill()
    process.wait(10)
    wait_for(lambda: not processes(mark))


def test_a_program_ends_with_the_process_that_started_it(
    runtime: ContainerRuntime, tmp_path: Path
) -> None:
    program = f"""
import sys
from pathlib import Path
from local.containers.runtime import ContainerRuntime
runtime = ContainerRuntime(Path({str(runtime._root)!r}))
runtime.run({IMAGE!r}, entrypoint=["sleep", "63.75"], log=sys.stdout)
sys.stdin.read()
"""
    owner = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, cwd=REPOSITORY)
    wait_for(lambda: bool(processes("63.75")))
    owner.kill()
    owner.communicate()
    wait_for(lambda: not processes("63.75"))


def test_a_container_may_not_mount_and_sees_only_its_own_processes(
    run: Callable[..., tuple[int, str]],
) -> None:
    status, output = run(entrypoint=["sh", "-c", "ls -d /proc/[0-9]*; mount -t tmpfs x /tmp"])
    assert status != 0
    assert output.split()[0] == "/proc/1"
    assert output.count("/proc/") <= 3


def test_an_image_that_is_not_in_the_registry_does_not_run(
    runtime: ContainerRuntime, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is not in the registry: build and push it first"):
        runtime.run(IMAGE.replace(":1", ":2"), log=sys.stdout.buffer)


def test_where_the_kernel_refuses_namespaces_one_line_says_how_to_allow_them(
    tmp_path: Path,
) -> None:
    """In a user namespace, which may be told that it has no mount namespaces left to make."""
    program = f"""
import sys
from pathlib import Path
from local.containers.runtime import ContainerRuntime
from pipeline.errors import UserError
runtime = ContainerRuntime(Path({str(tmp_path / "machine")!r}))
try:
    step = {{"name": "ubuntu", "args": ["true"]}}
    runtime.steps({{"steps": [step]}}, {{}}, log=sys.stderr.buffer)
except UserError as error:
    print(error)
"""
    limit = 'echo 0 > /proc/sys/user/max_mnt_namespaces && exec "$@"'
    answer = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "sh",
            "-c",
            limit,
            "sh",
            sys.executable,
            "-c",
            program,
        ],
        capture_output=True,
        check=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert "kernel.unprivileged_userns_clone" in answer.stdout, answer
    assert len(answer.stdout.strip().splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="as a user, every test here shows it")
@pytest.mark.parametrize("before", ["true", "mount -t tmpfs x /proc/tty"])
def test_who_may_not_mount_runs_containers_even_where_parts_of_proc_are_hidden(
    tmp_path: Path, before: str
) -> None:
    program = f"""
import sys
from pathlib import Path
from local.containers.runtime import ContainerRuntime
script = "cat /proc/self/uid_map && mount -t tmpfs x /tmp && echo mounted"
step = {{"name": "ubuntu", "args": ["sh", "-c", script]}}
runtime = ContainerRuntime(Path({str(tmp_path / "machine")!r}))
sys.exit(runtime.steps({{"steps": [step]}}, {{}}, log=sys.stdout.buffer))
"""
    unprivileged = "setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin"
    shell = ["unshare", "--mount", "sh", "-c", f'{before} && exec {unprivileged} "$@"', "sh"]
    done = subprocess.run(
        [*shell, sys.executable, "-c", program],
        capture_output=True,
        check=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert ["0", "0", "1"] in [line.split() for line in done.stdout.splitlines()]
    assert "mounted" in done.stdout
