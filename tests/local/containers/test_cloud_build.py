"""Cloud Build's steps: substitutions, builders, docker in a step, failures."""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from local.containers.cloud_build import parse
from local.containers.docker_command import template
from local.containers.runtime import ContainerRuntime
from pipeline.errors import UserError

CONTRACTS = {"local/containers/cloud_build.py": "Cloud Build's configuration, as documented"}

REGISTRY = "europe-west4-docker.pkg.dev/project/bots"
DOCKER = "gcr.io/cloud-builders/docker:24.0.9"

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> ContainerRuntime:
    runtime = ContainerRuntime(tmp_path_factory.mktemp("machine"))
    repo = tmp_path_factory.mktemp("repo")
    (repo / "main.py").write_text(
        "import os, sys\nfrom pathlib import Path\n"
        "print(Path('model/weights').read_text(), os.environ['RELEASE'], sys.argv[1:])\n"
        "print('clock', os.environ.get('CLOCK'))\n"
    )
    (repo / "Dockerfile").write_text(
        'FROM python:3.11-slim\nWORKDIR /srv\nCOPY main.py .\nENTRYPOINT ["python", "main.py"]\n'
    )
    runtime.build(repo, repo / "Dockerfile", f"{REGISTRY}/app:dev")
    runtime.push(f"{REGISTRY}/app:dev")
    return runtime


@pytest.fixture
def run(runtime: ContainerRuntime, tmp_path: Path) -> Run:
    """Runs a build; returns its status and its log."""

    def run(
        build: dict[str, Any], substitutions: Mapping[str, str] | None = None, **options: Any
    ) -> tuple[int, str]:
        with (tmp_path / "log").open("w+b") as log:
            status = runtime.steps(build, substitutions or {}, log=log, **options)
            log.seek(0)
            return status, log.read().decode()

    return run


def shell(script: str, **fields: Any) -> dict[str, Any]:
    return {"name": "ubuntu", "entrypoint": "bash", "args": ["-c", script], **fields}


# Substitutions


def arguments(text: str) -> str:
    build = {"steps": [{"name": "bash", "args": [text]}], "substitutions": {"_OWN": "own"}}
    return parse(build, {"_A": "x", "PROJECT_ID": "p"})[0].arguments[0]


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("$_A ${_A}b $PROJECT_ID", "x xb p"),
        ("$$HOME $${HOME} $(date) $", "$HOME ${HOME} $(date) $"),
        ("$_OWN", "own"),
    ],
)
def test_substitutions_are_made_by_cloud_builds_rules(text: str, made: str) -> None:
    assert arguments(text) == made


@pytest.mark.parametrize("text", ["$_MISSING", "${_MISSING}", "$HOME", "${x}", "${_A%x}"])
def test_a_name_that_is_not_given_is_an_error_that_tells_how_to_write_the_shells_own(
    text: str,
) -> None:
    with pytest.raises(UserError, match=r"not a valid built-in substitution.*write \$\$"):
        arguments(text)


def test_a_script_is_not_substituted_and_sees_the_environment(run: Run) -> None:
    script = 'echo "<$A>" "<$_A>"\nfalse\necho not here'
    status, log = run(
        {"steps": [{"name": "ubuntu", "script": script, "envs": ["A=$_A"]}]}, {"_A": "x"}
    )
    assert status == 1
    assert "<x> <>" in log
    assert "not here" not in log


@pytest.mark.parametrize("where", ["step", "options"])
def test_mapped_substitutions_reach_a_script_as_environment(run: Run, where: str) -> None:
    step: dict[str, Any] = {"name": "ubuntu", "script": '#!/bin/bash\necho "<$_A>"'}
    options: dict[str, Any] = {}
    (step if where == "step" else options)["automapSubstitutions"] = True
    _, log = run({"steps": [step], "options": options}, {"_A": "x"})
    assert "<x>" in log


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "ubuntu", "secretEnv": ["X"]}, "'secretEnv' is not stood in for"),
        ({"name": "ubuntu", "script": "x", "args": ["y"]}, "neither `args` nor `entrypoint`"),
        ({"name": "ubuntu", "env": ["X"], "args": ["y"]}, "not of the form NAME=value"),
        ({"name": "ubuntu", "timeout": "5m", "args": ["y"]}, "not a number of seconds"),
        ({"name": "ubuntu"}, "no entry point"),
        ({"name": "gcr.io/other/builder", "args": ["y"]}, "manifest for gcr.io/other/builder"),
    ],
)
def test_a_step_that_cannot_run_is_an_error_that_names_the_reason(
    run: Run, step: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run({"steps": [step]})


# Steps


def test_steps_share_the_workspace_and_only_their_own_environment(run: Run) -> None:
    first = shell("echo $$A > file; echo home=$$HOME", env=["A=1"], dir="sub")
    second = shell("cat sub/file; echo [$$A]; pwd; touch /etc/left-behind")
    third = shell("ls /etc")
    status, log = run({"steps": [first, second, third]})
    assert status == 0
    assert "home=/builder/home" in log
    assert "1\n[]\n/workspace\n" in log
    assert "left-behind" not in log


def test_two_builds_share_no_workspace(run: Run) -> None:
    run({"steps": [shell("touch left-behind")]})
    assert "left-behind" not in run({"steps": [shell("ls")]})[1]


def test_a_failed_step_ends_the_build_unless_failure_is_allowed(run: Run) -> None:
    last = shell("echo reached")
    status, log = run({"steps": [shell("exit 3"), last]})
    assert status == 3
    assert "reached" not in log
    for allowance in ({"allowFailure": True}, {"allowExitCodes": [3]}):
        status, log = run({"steps": [shell("exit 3", **allowance), last]})
        assert status == 0
        assert "reached" in log


@pytest.mark.parametrize("where", ["step", "build"])
def test_a_step_that_takes_too_long_is_ended_and_fails(run: Run, where: str) -> None:
    step: dict[str, Any] = shell("sleep 50 & trap 'exit 0' TERM; wait")
    build: dict[str, Any] = {"steps": [step]}
    (step if where == "step" else build)["timeout"] = "0.5s"
    status, log = run(build)
    assert status != 0
    assert "timed out" in log


def test_parallel_steps_run_one_after_another_with_a_note(run: Run) -> None:
    assert "one after another" in run({"steps": [shell("true", waitFor=["-"])]})[1]


# docker within

FETCH = """\
mkdir model
printf weights-1 > model/weights
cat > Dockerfile <<EOF
FROM $_BASE
ARG RELEASE
COPY model/ model/
ENV RELEASE=\\$$RELEASE
LABEL release=\\$$RELEASE
EOF
"""
IMAGE = "$_REPO/$_ACCOUNT:$_TAG"
SHOW = "'{{index .Config.Labels \"release\"}}|{{index .RepoDigests 0}}'"
RELEASE: dict[str, Any] = {
    "steps": [
        shell(FETCH, id="fetch"),
        {"name": DOCKER, "args": ["build", "-t", IMAGE, "--build-arg", "RELEASE=$_TAG", "."]},
        # Cloud Build replaces an image's working directory, so that a step has to say it.
        {"id": "smoke", "name": IMAGE, "args": ["self-test"], "dir": "/srv"},
        {"name": DOCKER, "args": ["run", "--rm", "-e", "RELEASE=again", IMAGE]},
        {"name": DOCKER, "args": ["push", IMAGE]},
        shell(f"docker image inspect {IMAGE} --format {SHOW}"),
    ],
}


def test_a_release_is_built_tried_and_pushed(runtime: ContainerRuntime, run: Run) -> None:
    app = f"{REGISTRY}/app"
    given = {
        "_ACCOUNT": "keeper",
        "_BASE": f"{app}@{runtime.resolve(f'{app}:dev')}",
        "_REPO": REGISTRY,
        "_TAG": "r1",
    }
    status, log = run(RELEASE, given, network={"CLOCK": "2026-11-23T00:00:00Z"})
    assert status == 0, log
    pushed = runtime.resolve(f"{REGISTRY}/keeper:r1")
    assert pushed
    assert "weights-1 r1 ['self-test']" in log
    assert "weights-1 again []" in log
    assert log.count("clock 2026-11-23T00:00:00Z") == 2
    assert f"r1|{REGISTRY}/keeper@{pushed}" in log


def test_a_container_without_a_network_reaches_nothing(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        python = f"import socket; socket.create_connection({address}, 2)"
        command = f'--entrypoint python {REGISTRY}/app:dev -c "{python}"'
        assert run({"steps": [shell(f"docker run --rm {command}")]})[0] == 0
        status, log = run({"steps": [shell(f"docker run --rm --network none {command}")]})
    assert status == 1
    assert "Connection refused" in log
    script = f"docker run --rm --network none --entrypoint env {REGISTRY}/app:dev"
    assert "CLOCK" not in run({"steps": [shell(script)]}, network={"CLOCK": "x"})[1]


def test_a_volume_can_lie_anywhere_in_the_system(run: Run) -> None:
    command = (
        "echo kept > file; docker run --rm --read-only --volume $$PWD:/usr/local/share/new/volume"
        f" --entrypoint sh {REGISTRY}/app:dev -c 'cat /usr/local/share/new/volume/file;"
        " touch /usr/local/share/x'"
    )
    status, log = run({"steps": [shell(command)]})
    assert status == 1
    assert "kept" in log
    assert "Read-only file system" in log


@pytest.mark.parametrize("path", ["/workspace/x", "/builder/home/x"])
def test_a_step_that_is_not_root_writes_neither_to_the_workspace_nor_to_the_home(
    runtime: ContainerRuntime, run: Run, unprivileged: str, path: str
) -> None:
    step = {"name": unprivileged, "entrypoint": "touch", "args": [path]}
    status, log = run({"steps": [step]})
    assert status == 1
    assert "Read-only file system" in log


def test_every_step_writes_to_a_workspace_that_a_step_has_opened(
    run: Run, unprivileged: str
) -> None:
    opened = {"name": DOCKER, "script": "chmod 0777 /workspace"}
    step = {"name": unprivileged, "entrypoint": "touch", "args": ["/workspace/x"]}
    assert run({"steps": [opened, step]})[0] == 0


@pytest.fixture
def unprivileged(runtime: ContainerRuntime, tmp_path: Path) -> str:
    """An image whose USER is not root."""
    name = f"{REGISTRY}/unprivileged:1"
    (tmp_path / "Dockerfile").write_text("FROM python:3.11-slim\nUSER 65532:65532\n")
    runtime.build(tmp_path, tmp_path / "Dockerfile", name)
    runtime.push(name)
    return name


def test_images_are_pushed_at_the_end_only_if_all_steps_went_well(
    runtime: ContainerRuntime, run: Run
) -> None:
    make = f"echo FROM scratch > Dockerfile; docker build -t {REGISTRY}/x:$_END ."
    build = {"steps": [shell(make), shell("$_END")], "images": [f"{REGISTRY}/x:$_END"]}
    assert run(build, {"_END": "false"})[0] == 1
    assert runtime.resolve(f"{REGISTRY}/x:false") is None
    assert run(build, {"_END": "true"})[0] == 0
    assert runtime.resolve(f"{REGISTRY}/x:true")


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        (f"docker pull {REGISTRY}/no:1", 1, "manifest unknown"),
        (f"docker run {REGISTRY}/no:1", 125, "manifest unknown"),
        ("docker compose up", 1, "invalid choice"),
    ],
)
def test_a_failed_command_has_dockers_status(
    run: Run, command: str, status: int, message: str
) -> None:
    ended, log = run({"steps": [{"name": "ubuntu", "script": command}]})
    assert ended == status
    assert message in log


def test_a_template_shows_fields_and_refuses_what_it_does_not_know() -> None:
    image = {"Id": "x", "Config": {"Labels": {"a": "b"}}, "RepoTags": ["t"]}
    text = '{{.Id}} {{index .Config.Labels "a"}} {{index .RepoTags 0}} {{json .RepoTags}}'
    assert template(text, image) == 'x b t ["t"]'
    with pytest.raises(UserError, match=r"only \.Field, index and json"):
        template("{{len .RepoTags}}", image)
