"""Images: what a build context shows, what a Dockerfile makes, and what the registry knows."""

# pyright: reportPrivateUsage=false

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from local.containers import build_context
from local.containers.runtime import ContainerRuntime
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
def runtime(tmp_path: Path) -> ContainerRuntime:
    return ContainerRuntime(tmp_path / "machine")


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


def contents(runtime: ContainerRuntime, digest: str) -> set[str]:
    root = runtime._images.root(digest)
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def build(runtime: ContainerRuntime, repo: Path, text: str, **options: Any) -> str:
    return runtime.build(repo, dockerfile(repo, text), f"{REPOSITORY}/test:1", **options)


# The context's digest


@pytest.mark.parametrize("change", ["docs/page.md", "pipeline/notes.md", "app/__pycache__/x.pyc"])
def test_what_the_allow_list_leaves_out_does_not_change_the_digest(
    runtime: ContainerRuntime, repo: Path, change: str
) -> None:
    before = runtime.context_digest(repo, repo / "app/Dockerfile")
    (repo / change).write_text("changed")
    (repo / "new.txt").write_text("new")
    assert runtime.context_digest(repo, repo / "app/Dockerfile") == before


@pytest.mark.parametrize("change", ["app/__main__.py", "pipeline/clock.py", "app/Dockerfile"])
def test_what_the_allow_list_admits_changes_the_digest(
    runtime: ContainerRuntime, repo: Path, change: str
) -> None:
    before = runtime.context_digest(repo, repo / "app/Dockerfile")
    (repo / change).write_text("changed")
    assert runtime.context_digest(repo, repo / "app/Dockerfile") != before


def test_a_changed_mode_changes_the_digest_and_a_changed_time_does_not(
    runtime: ContainerRuntime, repo: Path
) -> None:
    before = runtime.context_digest(repo, repo / "app/Dockerfile")
    (repo / "app/__main__.py").touch()
    assert runtime.context_digest(repo, repo / "app/Dockerfile") == before
    (repo / "app/__main__.py").chmod(0o600)
    assert runtime.context_digest(repo, repo / "app/Dockerfile") != before


def test_a_dockerfiles_own_ignore_file_replaces_the_contexts(
    runtime: ContainerRuntime, repo: Path
) -> None:
    before = runtime.context_digest(repo, repo / "app/Dockerfile")
    (repo / ".dockerignore").write_text("app/__main__.py\n")
    assert runtime.context_digest(repo, repo / "app/Dockerfile") == before


def test_a_link_counts_by_where_it_points_wherever_the_checkout_lies(
    runtime: ContainerRuntime, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests: list[str] = []
    for target in ("data/words.txt", "data/words.txt", "__main__.py"):
        checkout = write(tmp_path / f"checkout-{len(digests)}", FILES)
        (checkout / "app/link").symlink_to(target)
        monkeypatch.chdir(checkout)
        digests.append(runtime.context_digest(Path(), Path("app/Dockerfile")))
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
        ("!a\n*", set[str]()),
    ],
)
def test_an_ignore_file_is_read_as_docker_reads_it(
    tmp_path: Path, rules: str, admitted: set[str]
) -> None:
    write(tmp_path, {"a/b/one.py": "", "a/two.md": "", "c": ""})
    ignore = tmp_path.parent / "Dockerfile.dockerignore"
    ignore.write_text(rules)
    assert set(build_context.admitted(tmp_path, tmp_path.parent / "Dockerfile")) == admitted


def test_a_folder_in_which_nothing_can_be_admitted_is_not_read(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    scandir = os.scandir

    def noted(path: str | Path) -> Any:
        read.append(Path(path).name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    build_context.admitted(repo, repo / "app/Dockerfile")
    assert {"app", "data", "pipeline"} < set(read)
    assert "docs" not in read


# Building


def test_an_image_holds_what_the_dockerfile_copies_and_nothing_else(
    runtime: ContainerRuntime, repo: Path
) -> None:
    digest = runtime.build(repo, repo / "app/Dockerfile", f"{REPOSITORY}/app:1")
    assert contents(runtime, digest) == {
        "srv/app/__main__.py",
        "srv/app/data/words.txt",
        "srv/app/Dockerfile",
        "srv/app/Dockerfile.dockerignore",
        "srv/pipeline/clock.py",
    }


def test_the_same_files_give_the_same_digest_and_others_another(
    runtime: ContainerRuntime, repo: Path
) -> None:
    first = runtime.build(repo, repo / "app/Dockerfile", f"{REPOSITORY}/app:1")
    (repo / "docs/page.md").write_text("changed")
    assert runtime.build(repo, repo / "app/Dockerfile", f"{REPOSITORY}/app:2") == first
    (repo / "app/__main__.py").write_text("changed")
    assert runtime.build(repo, repo / "app/Dockerfile", f"{REPOSITORY}/app:3") != first


def test_a_copy_of_what_is_left_out_fails_and_names_the_line(
    runtime: ContainerRuntime, repo: Path
) -> None:
    (repo / "Dockerfile.dockerignore").write_text(ALLOWED)
    with pytest.raises(UserError, match=r"Dockerfile:2: COPY: 'docs' is not in the build context"):
        build(runtime, repo, "FROM python:3.11-slim\nCOPY docs /docs\n")


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
def test_copy_places_files_as_docker_does(
    runtime: ContainerRuntime, repo: Path, copy: str, made: set[str]
) -> None:
    assert contents(runtime, build(runtime, repo, f"FROM scratch\n{copy}\n")) == made


def test_configuration_is_kept_and_arguments_are_filled_in(
    runtime: ContainerRuntime, repo: Path
) -> None:
    text = """\
# a comment
ARG BASE=python:3.11-slim
FROM $BASE AS final
ARG RELEASE=none
ENV A=1 \\
    # within
    B="two words" RELEASE=${RELEASE:-x}
LABEL release=$RELEASE 'as written'="$RELEASE \\$RELEASE" single='$RELEASE'
WORKDIR /srv
WORKDIR sub
USER 1000
ENTRYPOINT ["python", "-m", "app"]
CMD ["post"]
"""
    digest = build(runtime, repo, text, arguments={"RELEASE": "r1"})
    config = runtime._images.config(digest)
    assert config["Env"][-3:] == ["A=1", "B=two words", "RELEASE=r1"]
    assert config["Labels"] == {
        "release": "r1",
        "as written": "r1 $RELEASE",
        "single": "$RELEASE",
    }
    assert config["WorkingDir"] == "/srv/sub"
    assert (config["Entrypoint"], config["Cmd"]) == (["python", "-m", "app"], ["post"])


def test_a_later_stage_takes_files_from_an_earlier_one(
    runtime: ContainerRuntime, repo: Path
) -> None:
    text = """\
FROM python:3.11-slim AS first
COPY docs /docs
FROM first AS second
COPY pipeline/notes.md /
FROM python:3.11-slim
COPY --from=first /docs/page.md /page.md
COPY --from=1 /notes.md /notes.md
"""
    assert contents(runtime, build(runtime, repo, text)) == {"page.md", "notes.md"}


def test_what_a_run_would_have_made_is_stood_in_for_or_left_out_with_a_note(
    runtime: ContainerRuntime, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """\
FROM golang:1.26 AS tools
RUN go build -o /out/gcsfuse example.com/gcsfuse
FROM python:3.11-slim
COPY --from=tools /out/gcsfuse /usr/local/bin/gcsfuse
COPY --from=tools /out/other /usr/local/bin/
"""
    digest = build(runtime, repo, text)
    assert contents(runtime, digest) == {"usr/local/bin/gcsfuse"}
    assert [note.split(":")[0] for note in capsys.readouterr().err.splitlines()[-3:]] == [
        "RUN left out",
        "/out/gcsfuse",
        "/out/other",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM pyton:3.11\n", "manifest for pyton:3.11 not found"),
        ("FROM python:3.11-slim\nCOPPY a b\n", "Dockerfile:2: COPPY: not stood in for"),
        ("FROM python:3.11-slim\nRUN <<EOF\n", "unterminated heredoc"),
        ("FROM scratch\nCOPY <<EOF /x\nx\nEOF\n", "COPY: heredocs are not stood in for"),
        ("COPY a b\n", "COPY before the first FROM"),
        ("FROM python:3.11-slim\nCOPY ../x /x\n", "is not in the build context"),
        ("FROM python:3.11-slim\nCOPY x\n", "takes sources and a destination"),
        ("", "no instructions"),
        ("ARG A\n", "no FROM"),
    ],
)
def test_a_mistake_in_a_dockerfile_is_one_line_that_names_it(
    runtime: ContainerRuntime, repo: Path, text: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as raised:
        build(runtime, repo, text)
    assert "\n" not in str(raised.value)


def test_building_over_a_base_does_not_change_the_base(
    runtime: ContainerRuntime, repo: Path
) -> None:
    base = build(runtime, repo, "FROM scratch\nCOPY docs/page.md /page\n")
    runtime.push(f"{REPOSITORY}/test:1")
    (repo / "docs/page.md").write_text("changed")
    derived = build(runtime, repo, f"FROM {REPOSITORY}/test:1\nCOPY docs/page.md /page\n")
    assert (runtime._images.root(base) / "page").read_text() == "text"
    assert (runtime._images.root(derived) / "page").read_text() == "changed"


# The registry


def test_only_what_was_pushed_is_in_the_registry(runtime: ContainerRuntime, repo: Path) -> None:
    app = f"{REPOSITORY}/app"
    digest = runtime.build(repo, repo / "app/Dockerfile", f"{app}:1")
    assert runtime.resolve(f"{app}:1") is None
    assert runtime.push(f"{app}:1") == digest
    assert runtime.resolve(f"{app}:1") == runtime.resolve(f"{app}@{digest}") == digest


def test_a_tag_moves_and_can_be_taken_away_while_the_digest_stays(
    runtime: ContainerRuntime, repo: Path
) -> None:
    app, bot = f"{REPOSITORY}/app", f"{REPOSITORY}/keeper"
    first = runtime.build(repo, repo / "app/Dockerfile", f"{app}:1")
    runtime.push(f"{app}:1")
    assert runtime.retag(f"{bot}:live", f"{app}@{first}") == first
    (repo / "app/__main__.py").write_text("changed")
    second = runtime.build(repo, repo / "app/Dockerfile", f"{app}:2")
    runtime.push(f"{app}:2")
    runtime.retag(f"{bot}:live", f"{app}:2")
    assert runtime.tags(bot) == {"live": second}
    runtime.untag(f"{bot}:live")
    assert runtime.tags(bot) == {}
    assert runtime.resolve(f"{bot}@{first}") == first


def test_what_is_dropped_is_gone_whole_and_nothing_else_is(
    runtime: ContainerRuntime, repo: Path
) -> None:
    kept, dropped = f"{REPOSITORY}-2/app", f"{REPOSITORY}/app"
    for name in (kept, dropped):
        runtime.build(repo, repo / "app/Dockerfile", f"{name}:1")
        digest = runtime.push(f"{name}:1")
    runtime.drop(f"{REPOSITORY}/")
    assert runtime.resolve(f"{dropped}:1") is runtime.resolve(f"{dropped}@{digest}") is None
    assert runtime.resolve(f"{kept}:1") == runtime.resolve(f"{kept}@{digest}") == digest


def test_an_index_is_not_made_of_an_image_that_is_not_there(runtime: ContainerRuntime) -> None:
    with pytest.raises(UserError, match="not found in the registry"):
        runtime.index(f"{REPOSITORY}/keeper:live", f"{REPOSITORY}/app:none")


def test_the_registry_lasts_longer_than_the_machine(
    runtime: ContainerRuntime, repo: Path, tmp_path: Path
) -> None:
    digest = runtime.build(repo, repo / "app/Dockerfile", f"{REPOSITORY}/app:1")
    runtime.push(f"{REPOSITORY}/app:1")
    assert ContainerRuntime(tmp_path / "machine").resolve(f"{REPOSITORY}/app:1") == digest


def test_no_tag_is_lost_when_many_are_made_at_once(
    runtime: ContainerRuntime, repo: Path, tmp_path: Path
) -> None:
    runtime.build(repo, repo / "app/Dockerfile", f"{REPOSITORY}/app:0")
    runtime.push(f"{REPOSITORY}/app:0")

    def tag(worker: int) -> None:
        own = ContainerRuntime(tmp_path / "machine")
        for number in range(5):
            own.retag(f"{REPOSITORY}/app:{worker}-{number}", f"{REPOSITORY}/app:0")

    workers = [threading.Thread(target=tag, args=[worker]) for worker in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(runtime.tags(f"{REPOSITORY}/app")) == 41


def test_the_same_image_built_several_times_at_once_is_one_image(
    runtime: ContainerRuntime, repo: Path
) -> None:
    digests: list[str] = []

    def make(number: int) -> None:
        tag = f"{REPOSITORY}/app:{number}"
        digests.append(runtime.build(repo, repo / "app/Dockerfile", tag))

    workers = [threading.Thread(target=make, args=[number]) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(digests) == 8
    assert len(set(digests)) == 1


@pytest.mark.parametrize("name", ["UPPER/x:1", "a b", "x@md5:0", ""])
def test_a_name_that_no_registry_takes_is_refused(runtime: ContainerRuntime, name: str) -> None:
    with pytest.raises(UserError, match="invalid reference format"):
        runtime.resolve(name)
