"""A VM from boot to power-off: files, units, the metadata server, containers."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage

from local.containers.runtime import ContainerRuntime
from local.containers.standins import curl
from local.containers.vm import parse
from pipeline.errors import UserError

CONTRACTS = {
    "local/containers/vm.py": "cloud-init and Container-Optimized OS, as documented",
    "local/containers/standins/poweroff": "poweroff(8) and systemd(1), as documented",
    "local/containers/standins/shutdown": "shutdown(8), as documented",
}

# Everything here takes about a second on a free processor. Only what hangs reaches this.
TIMEOUT = 240
HOST = "europe-west4-docker.pkg.dev"
TRAINER = f"{HOST}/project/bots/trainer:1"
# Like the trainer's, this image has gcsfuse from a stage that builds it.
DOCKERFILE = """\
FROM golang:1.26 AS gcsfuse
RUN go build -o /bin/gcsfuse example.com/gcsfuse
FROM python:3.11-slim
COPY --from=gcsfuse /bin/gcsfuse /usr/local/bin/gcsfuse
WORKDIR /srv
COPY trainer trainer
ENTRYPOINT ["python", "-m", "trainer"]
"""
PROGRAM = """\
import json, os, sys
from pathlib import Path
keys = ("RUN", "CLOCK", "GOOGLE_CLOUD_PROJECT")
Path("/data/result.json").write_text(json.dumps({
    "arguments": sys.argv[1:], **{key: os.environ.get(key) for key in keys},
}))
"""

Boot = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> ContainerRuntime:
    runtime = ContainerRuntime(tmp_path_factory.mktemp("machine"))
    repo = tmp_path_factory.mktemp("repo")
    (repo / "trainer").mkdir()
    (repo / "trainer/__main__.py").write_text(PROGRAM)
    (repo / "Dockerfile").write_text(DOCKERFILE)
    runtime.build(repo, repo / "Dockerfile", TRAINER)
    runtime.push(TRAINER)
    return runtime


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return tmp_path / "disk"


@pytest.fixture
def boot(runtime: ContainerRuntime, disk: Path, tmp_path: Path) -> Boot:
    """Boots the VM and waits until it is off; returns the status and what it printed."""

    def boot(script: str, network: dict[str, str] | None = None, **unit: str) -> tuple[int, str]:
        with (tmp_path / "log").open("w+b") as log:
            text = user_data(script, **unit)
            status = runtime.boot(text, disk, network=network or {}, log=log).wait(TIMEOUT)
            log.seek(0)
            return status, log.read().decode()

    return boot


@pytest.fixture
def metadata() -> Iterator[str]:
    """A metadata server below a path, which responds to every request with the request's path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}/as/trainer"
    server.shutdown()
    server.server_close()


def user_data(script: str, **unit: str) -> str:
    """A unit that runs a script and powers off at its end, also when it fails."""
    service = {
        "Type": "oneshot",
        "Environment": "HOME=/home/trainer",
        "ExecStart": "/bin/bash -eu /etc/trainer/run.sh",
        "ExecStopPost": "/sbin/poweroff",
        **unit,
    }
    files = {
        "/etc/systemd/system/trainer.service": "[Service]\n"
        + "".join(f"{key}={value}\n" for key, value in service.items() if value),
        "/etc/trainer/run.sh": f"mkdir -p $HOME\n{script}\n",
    }
    return "#cloud-config\n" + json.dumps(
        {
            "write_files": [{"path": path, "content": text} for path, text in files.items()],
            "runcmd": ["systemctl daemon-reload", ["systemctl", "start", "trainer.service"]],
        }
    )


CONFIGURE = f"docker-credential-gcr configure-docker --registries={HOST}\n"
TRAIN = f"""\
name=$(curl -sf -H 'Metadata-Flavor: Google' \\
    http://metadata.google.internal/computeMetadata/v1/instance/name)
cos-extensions install gpu
mount --bind /var/lib/nvidia /var/lib/nvidia
mount -o remount,exec /var/lib/nvidia
{CONFIGURE}
mkdir -p /var/work
docker run --rm --name trainer --volume /var/lib/nvidia/lib64:/usr/local/nvidia/lib64 \\
    --device /dev/nvidia0:/dev/nvidia0 --volume /var/work:/data --env RUN="$name" {TRAINER} train
"""


def test_a_vm_trains_in_a_container_and_powers_off(
    runtime: ContainerRuntime, boot: Boot, disk: Path, metadata: str
) -> None:
    network = {"GCE_METADATA_HOST": metadata, "CLOCK": "2026-11-23T00:00:00Z"}
    status, log = boot(TRAIN, network)
    assert (status, runtime.powered_off(disk)) == (0, True), log
    assert json.loads((disk / "work/result.json").read_text()) == {
        "arguments": ["train"],
        "RUN": "/as/trainer/computeMetadata/v1/instance/name",
        "CLOCK": "2026-11-23T00:00:00Z",
        "GOOGLE_CLOUD_PROJECT": None,
    }
    assert "docker: note: --device /dev/nvidia0" in log


def test_a_vm_whose_script_fails_is_still_powered_off_by_its_unit(
    runtime: ContainerRuntime, boot: Boot, disk: Path
) -> None:
    status, log = boot("false")
    assert (status, runtime.powered_off(disk)) == (0, True)
    assert "trainer.service: ExecStart=" in log


def test_a_vm_that_nothing_powers_off_is_not_powered_off(
    runtime: ContainerRuntime, boot: Boot, disk: Path
) -> None:
    status, log = boot("true", ExecStopPost="")
    assert (status, runtime.powered_off(disk)) == (1, False)
    assert "nothing has powered it off" in log


def test_powering_off_ends_what_runs_at_once(
    runtime: ContainerRuntime, boot: Boot, disk: Path
) -> None:
    status, log = boot("sleep infinity & poweroff; sleep infinity; echo not here")
    assert (status, runtime.powered_off(disk)) == (0, True)
    assert "not here" not in log


@pytest.mark.parametrize("how", ["shutdown -h now", "systemctl poweroff"])
def test_there_are_several_ways_to_power_off(
    runtime: ContainerRuntime, boot: Boot, disk: Path, how: str
) -> None:
    boot(how, ExecStopPost="")
    assert runtime.powered_off(disk)


@pytest.mark.parametrize(
    ("script", "unit"),
    [("true", {"SuccessAction": "poweroff"}), ("false", {"FailureAction": "poweroff-force"})],
)
def test_a_unit_can_power_off_by_its_result(
    runtime: ContainerRuntime, boot: Boot, disk: Path, script: str, unit: dict[str, str]
) -> None:
    boot(script, **{"ExecStopPost": "", **unit})
    assert runtime.powered_off(disk)


def test_a_unit_that_takes_too_long_is_asked_to_end(
    runtime: ContainerRuntime, boot: Boot, disk: Path
) -> None:
    script = "trap 'echo asked; exit' TERM; sleep infinity & wait; echo not here"
    _, log = boot(script, TimeoutStartSec="1")
    assert "asked" in log
    assert "not here" not in log
    assert runtime.powered_off(disk)


def test_a_unit_that_ignores_sigterm_is_killed_with_all_that_it_started(
    runtime: ContainerRuntime, boot: Boot, disk: Path
) -> None:
    script = "trap '' TERM; (sleep infinity; echo not here); echo not here"
    _, log = boot(script, TimeoutStartSec="1", TimeoutStopSec="1")
    assert "not here" not in log
    assert runtime.powered_off(disk)


def test_a_drop_in_adds_to_its_unit(runtime: ContainerRuntime, disk: Path, tmp_path: Path) -> None:
    text = user_data("sleep infinity")
    config = json.loads(text.partition("\n")[2])
    path = "/etc/systemd/system/trainer.service.d/limit.conf"
    config["write_files"].append({"path": path, "content": "[Service]\nTimeoutStartSec=1\n"})
    with (tmp_path / "log").open("wb") as log:
        runtime.boot("#cloud-config\n" + json.dumps(config), disk, log=log).wait(TIMEOUT)
    assert runtime.powered_off(disk)


def test_only_var_lasts_from_one_boot_to_the_next(
    runtime: ContainerRuntime, boot: Boot, disk: Path
) -> None:
    boot("touch /var/kept /etc/lost /home/lost")
    _, log = boot("ls -d /var/kept /etc/lost /home/lost || true")
    assert "/var/kept\n" in log
    assert "cannot access '/etc/lost'" in log
    assert "cannot access '/home/lost'" in log


def test_a_boot_forgets_that_the_vm_was_powered_off(
    runtime: ContainerRuntime, boot: Boot, disk: Path
) -> None:
    boot("true")
    boot("true", ExecStopPost="")
    assert not runtime.powered_off(disk)


def test_a_vm_is_as_strict_as_its_operating_system(boot: Boot) -> None:
    """/ and /usr are read-only, /var is not executable."""
    script = """\
echo '#!/bin/sh' > /var/program; chmod 755 /var/program
for command in 'touch /x' 'touch /usr/bin/x' 'mkdir /root/.docker' /var/program; do
    $command 2>&1 || true
done
"""
    _, log = boot(script)
    assert log.count("Read-only file system") == 3
    assert "Permission denied" in log


def test_a_private_image_is_not_pulled_without_a_credential_helper(boot: Boot) -> None:
    _, log = boot(f"docker run --rm {TRAINER}")
    assert "denied: Unauthenticated request" in log
    assert "run docker-credential-gcr configure-docker" in log
    assert (
        "denied"
        in boot(CONFIGURE.replace("europe-west4", "us-east1") + f"docker pull {TRAINER}")[1]
    )


def test_the_metadata_server_wants_its_header(boot: Boot, metadata: str) -> None:
    url = "http://169.254.169.254/computeMetadata/v1/instance/id"
    script = f"curl -s {url} || echo status $?\ncurl -sH 'Metadata-Flavor: Google' {url}"
    _, log = boot(script, {"GCE_METADATA_HOST": metadata})
    assert "Missing Metadata-Flavor:Google header" in log
    assert "status 22" in log
    assert log.count("/as/trainer/computeMetadata/v1/instance/id") == 1


def test_plain_requests_work_on_a_host_without_curl(
    metadata: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    url = f"http://{metadata}/x"
    assert curl.fetch(["-sSf", "-H", "Metadata-Flavor: Google", url]) == 0
    assert capfdbinary.readouterr().out == b"/as/trainer/x"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert curl.fetch(["-sS", f"http://127.0.0.1:{free.getsockname()[1]}/"]) == 7
    assert b"curl: (7)" in capfdbinary.readouterr().err


def test_a_scheduled_shutdown_can_be_cancelled(
    runtime: ContainerRuntime, boot: Boot, disk: Path
) -> None:
    script = "shutdown -P +60; shutdown -c; ls /run/shutdown.pid"
    status, log = boot(script, ExecStopPost="")
    assert (status, runtime.powered_off(disk)) == (1, False)
    assert "/run/shutdown.pid" in log


def test_losing_power_ends_everything_and_is_no_power_off(
    runtime: ContainerRuntime, disk: Path, tmp_path: Path
) -> None:
    length = f"66{os.getpid()}.5"  # no other process has this argument
    with (tmp_path / "log").open("wb") as output:
        script = f"touch /var/running; sleep {length}"
        process = runtime.boot(user_data(script), disk, log=output)
    deadline = time.monotonic() + TIMEOUT
    while not (disk / "running").exists() or not processes_with(length):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(TIMEOUT) == 128 + signal.SIGTERM
    assert not runtime.powered_off(disk)
    assert not processes_with(length)


def processes_with(argument: str) -> list[Path]:
    """The processes with this argument. A process may end while this looks at it."""
    found: list[Path] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if argument in (process / "cmdline").read_bytes().decode().split("\0"):
                found.append(process)
    return found


def mounted(bucket: Any, flags: str, options: str = "--implicit-dirs -o ro") -> str:
    """Runs the trainer's image with a shell that mounts a bucket and reads from it."""
    script = (
        f"mkdir /models && gcsfuse {options} {bucket.name} /models"
        " && cat /models/base/tiny/hparams.json && touch /models/x"
    )
    command = f"docker run --rm {flags} --entrypoint bash {TRAINER} -c '{script}'"
    return f"{CONFIGURE}{command}"


def test_gcsfuse_shows_a_bucket_read_only_to_a_container_that_may_mount(
    boot: Boot, bucket_factory: Callable[[], storage.Bucket], gcs_environment: dict[str, str]
) -> None:
    bucket: Any = bucket_factory()
    bucket.blob("base/tiny/hparams.json").upload_from_string("parameters")
    _, log = boot(mounted(bucket, "--privileged"), gcs_environment)
    assert "parameters" in log
    assert "Read-only file system" in log
    _, log = boot(mounted(bucket, "--cap-add SYS_ADMIN --device /dev/fuse"), gcs_environment)
    assert "parameters" in log
    _, log = boot(mounted(bucket, ""), gcs_environment)
    assert "fusermount3: mount failed: Operation not permitted" in log
    _, log = boot(mounted(bucket, "--privileged", "--implicit-dirs"), gcs_environment)
    assert "only read-only mounts" in log


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#!/bin/sh\n", "its first line must be #cloud-config"),
        ("#cloud-config\npackages: [x]\n", "'packages' is not stood in for"),
        ("#cloud-config\n[\n", "not YAML"),
        (
            "#cloud-config\nwrite_files: [{path: /x, encoding: gzip}]\n",
            "'encoding' is not stood in for",
        ),
    ],
)
def test_user_data_that_cannot_run_is_an_error_that_names_the_reason(
    text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as raised:
        parse(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ({"Restart": "always"}, "Restart= is not stood in for"),
        ({"ExecStart": "/no"}, "/no: No such"),
    ],
)
def test_a_unit_that_cannot_run_says_why(boot: Boot, unit: dict[str, str], message: str) -> None:
    assert message in boot("true", **unit)[1]
