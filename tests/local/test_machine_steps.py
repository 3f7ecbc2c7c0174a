"""Cloud Build's step lists: substitutions, builders, docker and gcloud within, failures."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage

from local.machine import Machine
from local.machine.cli import template
from local.machine.steps import parse
from pipeline.errors import UserError

REGISTRY = "europe-west4-docker.pkg.dev/project/bots"
DOCKER, CLOUD_SDK = "gcr.io/cloud-builders/docker", "gcr.io/google.com/cloudsdktool/cloud-sdk:slim"

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    repo = tmp_path_factory.mktemp("repo")
    (repo / "main.py").write_text(
        "import os, sys\nfrom pathlib import Path\n"
        "print(Path('model/weights').read_text(), os.environ['RELEASE'], sys.argv[1:])\n"
        "print('clock', os.environ.get('CLOCK'))\n"
    )
    (repo / "Dockerfile").write_text(
        'FROM python:3.11-slim\nWORKDIR /srv\nCOPY main.py .\nENTRYPOINT ["python", "main.py"]\n'
    )
    machine.build(repo, repo / "Dockerfile", f"{REGISTRY}/app:dev")
    machine.push(f"{REGISTRY}/app:dev")
    return machine


@pytest.fixture
def run(machine: Machine, tmp_path: Path) -> Run:
    """Runs a build; returns its status and its log."""

    def run(build: dict[str, Any], substitutions: Mapping[str, str] | None = None, **options):
        with (tmp_path / "log").open("w+b") as log:
            status = machine.steps(build, substitutions or {}, log=log, **options)
            log.seek(0)
            return status, log.read().decode()

    return run


def shell(script: str, **fields) -> dict[str, Any]:
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
def test_substitutions_are_made_by_cloud_builds_rules(text, made):
    assert arguments(text) == made


@pytest.mark.parametrize("text", ["$_MISSING", "${_MISSING}", "$HOME", "${x}", "${_A%x}"])
def test_a_name_that_is_not_given_is_an_error_that_tells_how_to_write_the_shells_own(text):
    with pytest.raises(UserError, match=r"not a valid built-in substitution.*write \$\$"):
        arguments(text)


def test_a_script_is_not_substituted_and_sees_the_environment(run):
    script = 'echo "<$A>" "<$_A>"\nfalse\necho not here'
    status, log = run(
        {"steps": [{"name": "ubuntu", "script": script, "envs": ["A=$_A"]}]}, {"_A": "x"}
    )
    assert status == 1
    assert "<x> <>" in log
    assert "not here" not in log


@pytest.mark.parametrize("where", ["step", "options"])
def test_mapped_substitutions_reach_a_script_as_environment(run, where):
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
def test_what_cannot_be_run_is_an_error_that_names_it(run, step, message):
    with pytest.raises(UserError, match=message):
        run({"steps": [step]})


# Steps


def test_steps_share_the_workspace_and_only_their_own_environment(run):
    first = shell("echo $$A > file; echo home=$$HOME", env=["A=1"], dir="sub")
    second = shell("cat sub/file; echo [$$A]; pwd; touch /etc/left-behind")
    third = shell("ls /etc")
    status, log = run({"steps": [first, second, third]})
    assert status == 0
    assert "home=/builder/home" in log
    assert "1\n[]\n/workspace\n" in log
    assert "left-behind" not in log


def test_two_builds_share_no_workspace(run):
    run({"steps": [shell("touch left-behind")]})
    assert "left-behind" not in run({"steps": [shell("ls")]})[1]


def test_a_failed_step_ends_the_build_unless_failure_is_allowed(run):
    last = shell("echo reached")
    status, log = run({"steps": [shell("exit 3"), last]})
    assert status == 3
    assert "reached" not in log
    for allowance in ({"allowFailure": True}, {"allowExitCodes": [3]}):
        status, log = run({"steps": [shell("exit 3", **allowance), last]})
        assert status == 0
        assert "reached" in log


@pytest.mark.parametrize("where", ["step", "build"])
def test_a_step_that_takes_too_long_is_ended_and_fails(run, where):
    step: dict[str, Any] = shell("sleep 50 & trap 'exit 0' TERM; wait")
    build: dict[str, Any] = {"steps": [step]}
    (step if where == "step" else build)["timeout"] = "0.5s"
    status, log = run(build)
    assert status != 0
    assert "timed out" in log


def test_parallel_steps_run_one_after_another_and_that_is_said(run):
    assert "one after another" in run({"steps": [shell("true", waitFor=["-"])]})[1]


# docker and gcloud within

FETCH = """\
mkdir model
gcloud storage cp -r "gs://$_MODELS/releases/$$ACCOUNT/$$TAG/*" model/
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
        {
            "id": "fetch",
            "name": CLOUD_SDK,
            "entrypoint": "bash",
            "env": ["ACCOUNT=$_ACCOUNT", "TAG=$_TAG"],
            "args": ["-ceu", FETCH],
        },
        {"name": DOCKER, "args": ["build", "-t", IMAGE, "--build-arg", "RELEASE=$_TAG", "."]},
        # Cloud Build replaces an image's working directory, so that a step has to say it.
        {"id": "smoke", "name": IMAGE, "args": ["self-test"], "dir": "/srv"},
        {"name": DOCKER, "args": ["run", "--rm", "-e", "RELEASE=again", IMAGE]},
        {"name": DOCKER, "args": ["push", IMAGE]},
        {
            "name": CLOUD_SDK,
            "args": [
                "gcloud",
                "artifacts",
                "docker",
                "tags",
                "add",
                IMAGE,
                "$_REPO/$_ACCOUNT:live",
            ],
        },
        shell(f"docker image inspect {IMAGE} --format {SHOW}"),
    ],
}


def test_a_release_is_fetched_built_tried_pushed_and_made_live(
    machine, run, bucket_factory, gcs_environment
):
    bucket: storage.Bucket = bucket_factory()
    bucket.blob("releases/keeper/r1/weights").upload_from_string("weights-1")
    app = f"{REGISTRY}/app"
    given = {
        "_ACCOUNT": "keeper",
        "_BASE": f"{app}@{machine.resolve(f'{app}:dev')}",
        "_MODELS": bucket.name,
        "_REPO": REGISTRY,
        "_TAG": "r1",
    }
    network = {**gcs_environment, "CLOCK": "2026-11-23T00:00:00Z"}
    status, log = run(RELEASE, given, network=network)
    assert status == 0, log
    live = machine.tags(f"{REGISTRY}/keeper")
    assert live["live"] == live["r1"]
    assert "weights-1 r1 ['self-test']" in log
    assert "weights-1 again []" in log
    assert log.count("clock 2026-11-23T00:00:00Z") == 2
    assert f"r1|{REGISTRY}/keeper@{live['live']}" in log


def test_images_are_pushed_at_the_end_only_if_all_steps_went_well(machine, run):
    make = f"echo FROM scratch > Dockerfile; docker build -t {REGISTRY}/x:$_END ."
    build = {"steps": [shell(make), shell("$_END")], "images": [f"{REGISTRY}/x:$_END"]}
    assert run(build, {"_END": "false"})[0] == 1
    assert machine.resolve(f"{REGISTRY}/x:false") is None
    assert run(build, {"_END": "true"})[0] == 0
    assert machine.resolve(f"{REGISTRY}/x:true")


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        (
            "gcloud storage cat gs://BUCKET/none",
            1,
            "ERROR: (gcloud.storage.cat) The following URLs",
        ),
        ("gcloud storage cp gs://BUCKET/none .", 1, "matched no objects or files"),
        ("gcloud storage ls gs://BUCKET/none/", 1, "matched no objects"),
        ("gcloud storage mv a b", 2, "invalid choice"),
        (f"gcloud artifacts docker tags add {REGISTRY}/no:1 {REGISTRY}/no:2", 1, "NOT_FOUND"),
        (f"docker pull {REGISTRY}/no:1", 1, "manifest unknown"),
        (f"docker run {REGISTRY}/no:1", 125, "manifest unknown"),
        ("docker compose up", 1, "invalid choice"),
    ],
)
def test_a_command_that_fails_ends_as_the_real_one_does(
    run, bucket_factory, gcs_environment, command, status, message
):
    script = command.replace("BUCKET", bucket_factory().name)
    ended, log = run({"steps": [{"name": "ubuntu", "script": script}]}, network=gcs_environment)
    assert ended == status
    assert message in log


def test_gcloud_copies_lists_and_shows_objects(run, bucket_factory, gcs_environment):
    bucket: storage.Bucket = bucket_factory()
    for name in ("a/one", "a/b/two", "c"):
        bucket.blob(name).upload_from_string(f"<{name}>")
    url = f"gs://{bucket.name}"
    script = f"""#!/bin/bash -eu
        line() {{ echo $(cat); }}
        gcloud storage ls {url} | line
        gcloud storage ls {url}/a/ | line
        gcloud storage cat {url}/a/one {url}/c | line
        mkdir tree flat
        gcloud storage cp -r {url}/a tree/
        gcloud storage cp "{url}/a/*" flat/
        gcloud storage cp {url}/c named
        gcloud storage cp --recursive tree/a {url}/up/
        gcloud storage cp named {url}/up/
        find tree flat named -type f | sort | line
        gcloud storage ls -r {url}/up | line
        """
    status, log = run({"steps": [{"name": CLOUD_SDK, "script": script}]}, network=gcs_environment)
    assert status == 0, log
    assert f"\n{url}/a/ {url}/c\n" in log
    assert f"\n{url}/a/b/ {url}/a/one\n" in log
    assert "\n<a/one><c>\n" in log
    assert "\nflat/one named tree/a/b/two tree/a/one\n" in log
    assert f"\n{url}/up/a/b/two {url}/up/a/one {url}/up/named\n" in log


def test_a_template_shows_fields_and_refuses_what_it_does_not_know():
    image = {"Id": "x", "Config": {"Labels": {"a": "b"}}, "RepoTags": ["t"]}
    text = '{{.Id}} {{index .Config.Labels "a"}} {{index .RepoTags 0}} {{json .RepoTags}}'
    assert template(text, image) == 'x b t ["t"]'
    with pytest.raises(UserError, match=r"only \.Field, index and json"):
        template("{{len .RepoTags}}", image)
