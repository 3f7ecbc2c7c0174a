"""`python -m local`: the cloud in the background, and the real engine on a small program."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.conftest import processes_of

REPOSITORY = Path(__file__).resolve().parents[2]

PROGRAM = """
import pulumi
import pulumi_docker as docker
import pulumi_gcp as gcp

enabled = []
for api in ("cloudresourcemanager", "artifactregistry", "cloudscheduler", "iam", "run"):
    enabled.append(
        gcp.projects.Service(
            api,
            service=f"{api}.googleapis.com",
            disable_on_destroy=False,
            opts=pulumi.ResourceOptions(depends_on=enabled[:1]),
        )
    )
after = pulumi.ResourceOptions(depends_on=enabled)
repository = gcp.artifactregistry.Repository(
    "bots", repository_id="bots", location="europe-west4", format="DOCKER", opts=after
)
image = docker.Image(
    "says",
    image_name=pulumi.Output.concat(repository.registry_uri, "/says:test"),
    build=docker.DockerBuildArgs(context=".", dockerfile="Dockerfile"),
)
caller = gcp.serviceaccount.Account("caller", account_id="the-caller", opts=after)
job = gcp.cloudrunv2.Job(
    "says",
    name="says",
    location="europe-west4",
    deletion_protection=False,
    template=gcp.cloudrunv2.JobTemplateArgs(
        template=gcp.cloudrunv2.JobTemplateTemplateArgs(
            containers=[
                gcp.cloudrunv2.JobTemplateTemplateContainerArgs(
                    image=image.repo_digest, args=[pulumi.Config("docker-build").require("word")]
                )
            ]
        )
    ),
    opts=after,
)
gcp.cloudrunv2.JobIamMember(
    "caller",
    name=job.name,
    location=job.location,
    role="roles/run.jobsExecutor",
    member=caller.member,
)
gcp.cloudscheduler.Job(
    "says",
    name="says-daily",
    region="europe-west4",
    schedule="0 9 * * *",
    time_zone="Europe/Paris",
    http_target=gcp.cloudscheduler.JobHttpTargetArgs(
        http_method="POST",
        uri=pulumi.Output.concat("https://run.googleapis.com/v2/", job.id, ":run"),
        oauth_token=gcp.cloudscheduler.JobHttpTargetOauthTokenArgs(
            service_account_email=caller.email
        ),
    ),
    opts=after,
)
"""


class Command:
    """`python -m local` with a project folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "Pulumi.yaml").write_text("name: small\nruntime: python\n")
        (folder / "__main__.py").write_text(PROGRAM)
        (folder / "main.py").write_text("import sys\nprint('it says', *sys.argv[1:])\n")
        (folder / "Dockerfile").write_text(
            'FROM python:3.11-slim\nCOPY main.py /srv/\nENTRYPOINT ["python", "/srv/main.py"]\n'
        )
        (folder / "Dockerfile.dockerignore").write_text("*\n!main.py\n")
        (folder / "stacks").mkdir()
        self.configure(f"http://127.0.0.1:{self.port}")

    def configure(self, emulator: str, word: str = "hello") -> None:
        # The word is of a namespace that the stack file's models leave to others.
        text = f"""
            config:
              gcp:project: small-project
              gcp:region: europe-west4
              gpt2-bots:emulator: {emulator}
              docker-build:word: {word}
            """
        (self.folder / "stacks/Pulumi.local.yaml").write_text(textwrap.dedent(text))

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: PLW1510
            [sys.executable, "-m", "local", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def status(self) -> dict[str, object]:
        return json.loads(self("status", "--json").stdout)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path)
    yield command
    command("down")


def test_it_runs_in_the_background_until_it_is_stopped(local: Command, tmp_path: Path) -> None:
    first = local("up")
    assert first.returncode == 0, first.stderr
    assert f"http://127.0.0.1:{local.port}" in first.stdout
    pid = json.loads((tmp_path / ".local/daemon.json").read_text())["pid"]
    assert local("up").returncode == 0
    assert json.loads((tmp_path / ".local/daemon.json").read_text())["pid"] == pid
    assert local("status").stdout.startswith("0 resources of project small-project")
    assert local("down").stdout == "stopped\n"
    assert processes_of(tmp_path) == []
    assert local("down").stdout == "it was not running\n"


def test_killed_outright_it_leaves_nothing_running_and_starts_again(
    local: Command, tmp_path: Path
) -> None:
    local("up")
    pid = json.loads((tmp_path / ".local/daemon.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while processes_of(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert local("up").returncode == 0


def test_it_ends_by_itself_when_nobody_has_used_it_for_long(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from local import cloud, daemon; daemon._QUIET = 0.5; "
        f"daemon.serve(cloud.Cloud(Path({str(tmp_path)!r}), 0))"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, timeout=60, check=True)
    assert ended.returncode == 0
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["status"], "error: no local cloud runs in .local: `python -m local up` starts it"),
        (["--config-file", "absent.yaml", "up"], "error: absent.yaml: no such stack file"),
        (["log", "build", "x"], "error: no local cloud runs in .local"),
    ],
)
def test_wrong_use_is_one_clear_line(local: Command, arguments: list[str], line: str) -> None:
    done = local(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_an_address_that_is_none_is_one_clear_line(local: Command) -> None:
    local.configure("https://storage.googleapis.com")
    done = local("up")
    assert done.returncode == 1
    assert "emulator: 'https://storage.googleapis.com' is not an address" in done.stderr


def test_a_port_that_is_taken_is_one_clear_line(local: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", local.port))
        taken.listen()
        done = local("up")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: port {local.port} is taken")


def test_what_pulumi_declares_is_what_runs(local: Command, tmp_path: Path) -> None:
    previewed = local("pulumi", "preview", "--color=never")
    assert previewed.returncode == 0, previewed.stdout + previewed.stderr
    assert "+ 12 to create" in previewed.stdout
    assert local.status()["resources"] == 0

    up = local("pulumi", "up", "--yes", "--skip-preview", "--color=never")
    assert up.returncode == 0, up.stdout + up.stderr
    assert local.status()["resources"] == 11

    ticked = local("tick")
    assert ticked.returncode == 0, ticked.stdout
    assert "it says hello" in next((tmp_path / ".local/logs/executions").iterdir()).read_text()

    local.configure(f"http://127.0.0.1:{local.port}", word="goodbye")
    changed = local("pulumi", "up", "--yes", "--skip-preview", "--color=never")
    assert "~ 1 updated" in changed.stdout
    ran = local("run", "says")
    assert ran.returncode == 0
    log = ran.stdout.split("(log: ")[1].split(")")[0]
    assert "it says goodbye" in Path(log).read_text()

    again = local("pulumi", "up", "--yes", "--skip-preview", "--expect-no-changes")
    assert again.returncode == 0, again.stdout
    assert local("pulumi", "refresh", "--yes", "--expect-no-changes").returncode == 0

    destroyed = local("pulumi", "destroy", "--yes", "--skip-preview")
    assert destroyed.returncode == 0, destroyed.stdout
    assert local.status()["resources"] == 0


def test_pulumis_exit_code_is_passed_on(local: Command) -> None:
    assert local("pulumi", "nonsense").returncode != 0
    assert local("pulumi", "version").returncode == 0
