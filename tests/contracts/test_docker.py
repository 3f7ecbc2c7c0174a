"""What scripts ask of docker, and what it and its stand-in answer."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from local.containers.runtime import ContainerRuntime

CONTRACTS = {
    "local/containers/standins/docker.py": "Docker, in the lane of real tools",
    "local/containers/docker_command.py": "Docker, in the lane of real tools",
    "local/containers/docker_build.py": "Docker, in the lane of real tools",
}

Script = Callable[[str], str]


def stand_in(folder: Path, script: str) -> str:
    builder = {"name": "gcr.io/cloud-builders/docker", "script": f"#!/bin/bash\n{script}"}
    with (folder / "log").open("w+b") as log:
        ContainerRuntime(folder / "machine").steps({"steps": [builder]}, {}, log=log)
    return (folder / "log").read_text()


def real(folder: Path, script: str) -> str:
    docker = pytest.importorskip("tests.real.docker", reason="real Docker: not in this checkout")
    settings = folder / "settings"
    settings.mkdir()
    (folder / "work").mkdir()
    with docker.daemon(folder / "data", {}, settings) as daemon:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=folder / "work",
            env={"DOCKER_HOST": f"unix://{daemon.socket}", "PATH": f"/usr/bin:{os.environ['PATH']}",
                 "HOME": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )  # fmt: skip
    return done.stdout


@pytest.fixture(
    params=[stand_in, pytest.param(real, marks=pytest.mark.real)], ids=lambda f: f.__name__
)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Script:
    """Runs a script; what it says behind `=` signs."""

    def run(script: str) -> str:
        said = request.param(tmp_path, script)
        return "\n".join(line[1:] for line in said.splitlines() if line.startswith("="))

    return run


BUILD = """\
mkdir context
cat >context/Dockerfile <<'END'
FROM scratch
ARG RELEASE=none
COPY kept /srv/
WORKDIR /srv
ENV RELEASE=$RELEASE MODE=on
LABEL release=$RELEASE
USER 65532
ENTRYPOINT ["/program", "-v"]
CMD ["post"]
END
echo kept >context/kept; echo left >context/left
echo left >context/.dockerignore
docker build --quiet --build-arg RELEASE=r1 --label by=us --tag one:1 context >id
"""


def test_an_image_has_what_its_dockerfile_says(run: Script) -> None:
    script = """
    show() { echo "=$(docker inspect --format "{{$1}}" one:1)"; }
    for field in .Config.Entrypoint .Config.Cmd .Config.WorkingDir .Config.User \\
        'json .Config.Labels' 'index .Config.Labels "release"'; do show "$field"; done
    docker inspect --format '{{json .Config.Env}}' one:1 >env
    grep -o 'RELEASE=r1\\|MODE=on' env | sed s/^/=/
    [ "$(docker inspect --format '{{.Id}}' one:1)" = "$(cat id)" ] && echo =same
    """
    assert run(BUILD + script).splitlines() == [
        "[/program -v]",
        "[post]",
        "/srv",
        "65532",
        '{"by":"us","release":"r1"}',
        "r1",
        "RELEASE=r1",
        "MODE=on",
        "same",
    ]


def test_a_tag_is_another_name_of_an_image(run: Script) -> None:
    script = """
    docker tag one:1 two:2
    [ "$(docker images --quiet two:2)" ] && echo =listed
    [ "$(docker inspect --format '{{.Id}}' two:2)" = "$(cat id)" ] && echo =same
    docker rmi one:1 >/dev/null; docker inspect one:1 >/dev/null 2>&1; echo =$?
    docker inspect --format '=there' two:2
    """
    assert run(BUILD + script).splitlines() == ["listed", "same", "1", "there"]


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("docker tag none:1 two:2", 1),
        ("docker inspect none:1", 1),
        ("docker rmi none:1", 1),
        ("docker push none:1", 1),
        ("docker run --rm --pull=never none:1", 125),
        ("docker build context-that-is-none", 1),
        ("docker run --rm --no-such-flag one:1", 125),
    ],
)
def test_what_cannot_be_done_has_docker_s_status(run: Script, command: str, status: int) -> None:
    assert run(f"{command} >/dev/null 2>&1; echo =$?") == str(status)


def test_a_copy_of_what_is_not_there_or_ignored_fails_the_build(run: Script) -> None:
    script = """
    for name in nothing left; do
        printf 'FROM scratch\\nCOPY %s /\\n' $name >context/Dockerfile
        docker build --tag bad:1 context >/dev/null 2>&1; echo =$?
    done
    """
    assert run(BUILD + script).splitlines() == ["1", "1"]
