"""Images: what a build context shows, what a Dockerfile makes, and what the registry knows."""

import os
import threading
from pathlib import Path

import pytest

from local.machine import Machine, context
from pipeline.errors import UserError

REPOSITORY = "europe-west4-docker.pkg.dev/project/bots"
ALLOWED = "*\n!app/\n!pipeline/*.py\n**/__pycache__\n"
FILES = {
    "app/__main__.py": "print('app')",
    "app/__pycache__/x.pyc": "cache",
    "app/data/words.txt": "words",
    "app/Dockerfile": (
        "FROM python:3.11-slim\nWORKDIR /srv\nCOPY app app\nCOPY pipeline/ ./pipeline/\n"
    ),
    "app/Dockerfile.dockerignore": ALLOWED,
    "docs/page.md": "text",
    "pipeline/clock.py": "x = 1",
    "pipeline/notes.md": "notes",
}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return write(tmp_path / "repo", FILES)


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def dockerfile(folder: Path, text: str) -> Path:
    (folder / "Dockerfile").write_text(text)
    return folder / "Dockerfile"


def contents(machine: Machine, digest: str) -> set[str]:
    root = machine._images.root(digest)
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def build(machine: Machine, repo: Path, text: str, **options) -> str:
    return machine.build(repo, dockerfile(repo, text), f"{REPOSITORY}/test:1", **options)


# The context's digest


@pytest.mark.parametrize("change", ["docs/page.md", "pipeline/notes.md", "app/__pycache__/x.pyc"])
def test_what_the_allow_list_leaves_out_does_not_change_the_digest(machine, repo, change):
    before = machine.context_digest(repo, repo / "app/Dockerfile")
    (repo / change).write_text("changed")
    (repo / "new.txt").write_text("new")
    assert machine.context_digest(repo, repo / "app/Dockerfile") == before


@pytest.mark.parametrize("change", ["app/__main__.py", "pipeline/clock.py", "app/Dockerfile"])
def test_what_the_allow_list_admits_changes_the_digest(machine, repo, change):
    before = machine.context_digest(repo, repo / "app/Dockerfile")
    (repo / change).write_text("changed")
    assert machine.context_digest(repo, repo / "app/Dockerfile") != before


def test_a_changed_mode_changes_the_digest_and_a_changed_time_does_not(machine, repo):
    before = machine.context_digest(repo, repo / "app/Dockerfile")
    (repo / "app/__main__.py").touch()
    assert machine.context_digest(repo, repo / "app/Dockerfile") == before
    (repo / "app/__main__.py").chmod(0o600)
    assert machine.context_digest(repo, repo / "app/Dockerfile") != before


def test_a_dockerfiles_own_ignore_file_replaces_the_contexts(machine, repo):
    before = machine.context_digest(repo, repo / "app/Dockerfile")
    (repo / ".dockerignore").write_text("app/__main__.py\n")
    assert machine.context_digest(repo, repo / "app/Dockerfile") == before


def test_a_link_counts_by_where_it_points_wherever_the_checkout_lies(
    machine, repo, tmp_path, monkeypatch
):
    digests: list[str] = []
    for target in ("data/words.txt", "data/words.txt", "__main__.py"):
        checkout = write(tmp_path / f"checkout-{len(digests)}", FILES)
        (checkout / "app/link").symlink_to(target)
        monkeypatch.chdir(checkout)
        digests.append(machine.context_digest(Path(), Path("app/Dockerfile")))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("rules", "admitted"),
    [
        ("", {"a/b/one.py", "a/two.md", "c"}),
        ("*\n!a/b", {"a/b/one.py"}),
        ("*\n!a\na/b", {"a/two.md"}),
        ("*\n!**/*.py", {"a/b/one.py"}),
        ("a\n!a/b/*.py", {"a/b/one.py", "c"}),
        ("/a/\n# c", {"c"}),
        ("**/b", {"a/two.md", "c"}),
        ("a/?wo.md\n[cd]", {"a/b/one.py"}),
        ("*/*.md\n*.py", {"a/b/one.py", "c"}),
        ("!a\n*", set()),
    ],
)
def test_an_ignore_file_is_read_as_docker_reads_it(tmp_path, rules, admitted):
    write(tmp_path, {"a/b/one.py": "", "a/two.md": "", "c": ""})
    ignore = tmp_path.parent / "Dockerfile.dockerignore"
    ignore.write_text(rules)
    assert set(context.admitted(tmp_path, tmp_path.parent / "Dockerfile")) == admitted


def test_a_folder_in_which_nothing_can_be_admitted_is_not_read(repo, monkeypatch):
    read: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: read.append(Path(path).name) or scandir(path))
    context.admitted(repo, repo / "app/Dockerfile")
    assert {"app", "data", "pipeline"} < set(read)
    assert "docs" not in read


# Building


def test_an_image_holds_what_the_dockerfile_copies_and_nothing_else(machine, repo):
    digest = machine.build(repo, repo / "app/Dockerfile", f"{REPOSITORY}/app:1")
    assert contents(machine, digest) == {
        "srv/app/__main__.py",
        "srv/app/data/words.txt",
        "srv/app/Dockerfile",
        "srv/app/Dockerfile.dockerignore",
        "srv/pipeline/clock.py",
    }


def test_the_same_files_give_the_same_digest_and_others_another(machine, repo):
    first = machine.build(repo, repo / "app/Dockerfile", f"{REPOSITORY}/app:1")
    (repo / "docs/page.md").write_text("changed")
    assert machine.build(repo, repo / "app/Dockerfile", f"{REPOSITORY}/app:2") == first
    (repo / "app/__main__.py").write_text("changed")
    assert machine.build(repo, repo / "app/Dockerfile", f"{REPOSITORY}/app:3") != first


def test_a_copy_of_what_is_left_out_fails_and_names_the_line(machine, repo):
    (repo / "Dockerfile.dockerignore").write_text(ALLOWED)
    with pytest.raises(UserError, match=r"Dockerfile:2: COPY: 'docs' is not in the build context"):
        build(machine, repo, "FROM python:3.11-slim\nCOPY docs /docs\n")


@pytest.mark.parametrize(
    ("copy", "made"),
    [
        ("COPY app/data/words.txt /a", {"a"}),
        ("COPY app/data/words.txt /a/", {"a/words.txt"}),
        ("COPY app/data/words.txt docs/page.md /a", {"a/words.txt", "a/page.md"}),
        ("COPY app/data /a", {"a/words.txt"}),
        ("COPY pipeline/*.py /a/", {"a/clock.py"}),
        ('COPY ["app/data", "."]', {"words.txt"}),
        ("WORKDIR /w\nCOPY docs d", {"w/d/page.md"}),
        ("COPY docs /bin", {"usr/bin/page.md"}),
        ("COPY docs /a\nCOPY app/data/words.txt /a", {"a/page.md", "a/words.txt"}),
    ],
)
def test_copy_places_files_as_docker_does(machine, repo, copy, made):
    assert contents(machine, build(machine, repo, f"FROM scratch\n{copy}\n")) == made


def test_configuration_is_kept_and_arguments_are_filled_in(machine, repo):
    text = """\
# a comment
ARG BASE=python:3.11-slim
FROM $BASE AS final
ARG RELEASE=none
ENV A=1 \\
    # within
    B="two words" RELEASE=${RELEASE:-x}
LABEL release=$RELEASE
WORKDIR /srv
WORKDIR sub
USER 1000
ENTRYPOINT ["python", "-m", "app"]
CMD ["post"]
"""
    labels = {"account": "keeper"}
    digest = build(machine, repo, text, arguments={"RELEASE": "r1"}, labels=labels)
    config = machine._images.config(digest)
    assert config["Env"][-3:] == ["A=1", "B=two words", "RELEASE=r1"]
    assert config["Labels"] == {"release": "r1", "account": "keeper"}
    assert config["WorkingDir"] == "/srv/sub"
    assert (config["Entrypoint"], config["Cmd"]) == (["python", "-m", "app"], ["post"])


def test_a_later_stage_takes_files_from_an_earlier_one(machine, repo):
    text = """\
FROM python:3.11-slim AS first
COPY docs /docs
FROM python:3.11-slim
COPY --from=first /docs/page.md /page.md
"""
    assert contents(machine, build(machine, repo, text)) == {"page.md"}


def test_what_a_run_would_have_made_is_stood_in_for_or_left_out_with_a_note(machine, repo):
    text = """\
FROM golang:1.26 AS tools
RUN go build -o /out/gcsfuse example.com/gcsfuse
FROM python:3.11-slim
COPY --from=tools /out/gcsfuse /usr/local/bin/gcsfuse
COPY --from=tools /out/other /usr/local/bin/
"""
    notes: list[str] = []
    digest = build(machine, repo, text, note=notes.append)
    assert contents(machine, digest) == {"usr/local/bin/gcsfuse"}
    assert [note.split(":")[0] for note in notes[-3:]] == [
        "RUN left out",
        "/out/gcsfuse",
        "/out/other",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM pyton:3.11\n", "manifest for pyton:3.11 not found"),
        ("FROM python:3.11-slim\nCOPPY a b\n", "Dockerfile:2: COPPY: not stood in for"),
        ("FROM python:3.11-slim\nRUN <<EOF\n", "heredocs are not stood in for"),
        ("COPY a b\n", "COPY before the first FROM"),
        ("FROM python:3.11-slim\nCOPY ../x /x\n", "is not in the build context"),
        ("FROM python:3.11-slim\nCOPY x\n", "takes sources and a destination"),
        ("", "no FROM"),
    ],
)
def test_a_mistake_in_a_dockerfile_is_one_line_that_names_it(machine, repo, text, message):
    with pytest.raises(UserError, match=message) as raised:
        build(machine, repo, text)
    assert "\n" not in str(raised.value)


def test_building_over_a_base_does_not_change_the_base(machine, repo):
    base = build(machine, repo, "FROM scratch\nCOPY docs/page.md /page\n")
    machine.push(f"{REPOSITORY}/test:1")
    (repo / "docs/page.md").write_text("changed")
    derived = build(machine, repo, f"FROM {REPOSITORY}/test:1\nCOPY docs/page.md /page\n")
    assert (machine._images.root(base) / "page").read_text() == "text"
    assert (machine._images.root(derived) / "page").read_text() == "changed"


# The registry


def test_only_what_was_pushed_is_in_the_registry(machine, repo):
    app = f"{REPOSITORY}/app"
    digest = machine.build(repo, repo / "app/Dockerfile", f"{app}:1")
    assert machine.resolve(f"{app}:1") is None
    assert machine.push(f"{app}:1") == digest
    assert machine.resolve(f"{app}:1") == machine.resolve(f"{app}@{digest}") == digest


def test_a_tag_moves_and_can_be_taken_away_while_the_digest_stays(machine, repo):
    app, bot = f"{REPOSITORY}/app", f"{REPOSITORY}/keeper"
    first = machine.build(repo, repo / "app/Dockerfile", f"{app}:1")
    machine.push(f"{app}:1")
    assert machine.retag(f"{bot}:live", f"{app}@{first}") == first
    (repo / "app/__main__.py").write_text("changed")
    second = machine.build(repo, repo / "app/Dockerfile", f"{app}:2", labels={"release": "2"})
    machine.push(f"{app}:2")
    machine.retag(f"{bot}:live", f"{app}:2")
    assert machine.tags(bot) == {"live": second}
    assert machine.labels(f"{bot}:live") == {"release": "2"}
    machine.untag(f"{bot}:live")
    assert machine.tags(bot) == {}
    assert machine.resolve(f"{bot}@{first}") == first


def test_a_tag_is_not_made_of_an_image_that_is_not_there(machine):
    with pytest.raises(UserError, match="not found in the registry"):
        machine.retag(f"{REPOSITORY}/keeper:live", f"{REPOSITORY}/app:none")


def test_the_registry_lasts_longer_than_the_machine(machine, repo, tmp_path):
    digest = machine.build(repo, repo / "app/Dockerfile", f"{REPOSITORY}/app:1")
    machine.push(f"{REPOSITORY}/app:1")
    assert Machine(tmp_path / "machine").resolve(f"{REPOSITORY}/app:1") == digest


def test_no_tag_is_lost_when_many_are_made_at_once(machine, repo, tmp_path):
    machine.build(repo, repo / "app/Dockerfile", f"{REPOSITORY}/app:0")
    machine.push(f"{REPOSITORY}/app:0")

    def tag(worker: int) -> None:
        own = Machine(tmp_path / "machine")
        for number in range(5):
            own.retag(f"{REPOSITORY}/app:{worker}-{number}", f"{REPOSITORY}/app:0")

    workers = [threading.Thread(target=tag, args=[worker]) for worker in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(machine.tags(f"{REPOSITORY}/app")) == 41


def test_one_image_sealed_twice_at_once_is_one_image(machine, repo):
    digests: list[str] = []

    def make(number: int) -> None:
        tag = f"{REPOSITORY}/app:{number}"
        digests.append(machine.build(repo, repo / "app/Dockerfile", tag))

    workers = [threading.Thread(target=make, args=[number]) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(digests) == 8
    assert len(set(digests)) == 1


@pytest.mark.parametrize("name", ["UPPER/x:1", "a b", "x@md5:0", ""])
def test_a_name_that_no_registry_takes_is_refused(machine, name):
    with pytest.raises(UserError, match="invalid reference format"):
        machine.resolve(name)
