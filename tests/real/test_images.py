"""The images, built by Docker from their unmodified Dockerfiles: what is in them, how they end."""

import io
import json
import re
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from pipeline.program import STATUS
from tests.real import sbom
from tests.real.conftest import CACHE, FOLDERS, Build, bases_of, build_as_declared
from tests.real.docker import Docker
from tests.stacks.recorder import ROOT

pytestmark = pytest.mark.real

MB = 1_000_000
# Beyond the base.
BUDGETS = {"app": 260 * MB, "control": 135 * MB, "scraper": 50 * MB}
# What opens something: private keys, and Google's credentials.
SECRETS = re.compile(
    rb"-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----\s+[\w+/=]{40}"
    rb"|\"private_key_id\":\s*\"\w{40}|\bya29\.[\w-]{20}|\bAIza[\w-]{35}\b"
)
# Where tools keep what opens a registry or an index.
SETTINGS = {".netrc", ".pypirc", "application_default_credentials.json", "credentials", "pip.conf"}


def layers(docker: Docker, image: str) -> list[tarfile.TarFile]:
    """The layers of an image, its base's first."""
    folder = docker.folder / "saved.tar"
    docker.run("save", "--output", str(folder), image)
    with tarfile.open(folder) as saved:
        manifest = json.load(saved.extractfile("manifest.json"))  # type: ignore[arg-type]
        contents = [saved.extractfile(name).read() for name in manifest[0]["Layers"]]  # type: ignore[union-attr]
    folder.unlink()
    return [tarfile.open(fileobj=io.BytesIO(content)) for content in contents]


@pytest.fixture(params=sorted(BUDGETS))
def program(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def image(program: str, build: Build) -> str:
    return build(program)


def test_an_image_stays_within_its_budget(daemon: Docker, image: str, program: str) -> None:
    sizes = daemon.run("history", "--human=false", "--format", "{{.Size}}", image).split()
    (base,) = bases_of(ROOT / FOLDERS[program] / "Dockerfile")
    beyond = sum(map(int, sizes)) - daemon.inspect(base)["Size"]
    assert 0 < beyond <= BUDGETS[program]


def test_an_image_is_run_as_a_user_without_rights(daemon: Docker, image: str) -> None:
    assert daemon.inspect(image)["Config"]["User"] == "65532:65532"
    script = "import os; print(os.getuid()); open('/srv/x', 'w')"
    _, said = daemon.container(image, "-c", script, options=["--entrypoint=python"])
    assert "65532" in said
    assert "Permission denied" in said


def test_a_checkout_by_a_careful_person_gives_an_image_that_starts(
    daemon: Docker, build: Build, tmp_path: Path
) -> None:
    """umask 077: the files that Docker copies are nobody's but the person's."""
    build("scraper")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), "clone"], cwd=tmp_path, check=True)
    changed = subprocess.run(
        ["git", "ls-files", "-z", "app", "pipeline", "scraper_image", "tools", "requirements"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, changed):
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clone" / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(["chmod", "-R", "go=", "clone"], cwd=tmp_path, check=True)
    clone = tmp_path / "clone"
    build_as_declared(daemon, "scraper", "scraper:careful", root=clone)
    _, said = daemon.container("scraper:careful")
    assert "environment variable ACCOUNT is not set" in said
    assert diff_ids(daemon, "scraper:careful") == diff_ids(daemon, "scraper:built")


def diff_ids(docker: Docker, image: str) -> list[str]:
    return docker.inspect(image)["RootFS"]["Layers"]


def test_two_builds_without_a_cache_give_the_same_layers(daemon: Docker, build: Build) -> None:
    image = build("scraper")
    again = "scraper:again"
    build_as_declared(daemon, "scraper", again, "--no-cache")
    assert diff_ids(daemon, again) == diff_ids(daemon, image)


def test_no_layer_holds_a_secret_or_bytes_of_the_build(daemon: Docker, image: str) -> None:
    for layer in layers(daemon, image)[1:]:
        for member in layer:
            assert not member.name.startswith(("root/", "tmp/", "build/")), member.name
            assert Path(member.name).name not in SETTINGS, member.name
            if member.isfile():
                found = SECRETS.search(layer.extractfile(member).read())  # type: ignore[union-attr]
                assert found is None, f"{member.name}: {found}"


def test_an_image_is_made_of_what_its_lock_names(
    daemon: Docker, image: str, program: str, tmp_path: Path
) -> None:
    """And of what the base installs packages with."""
    document = sbom.write(daemon, image, program, CACHE, tmp_path)
    lock = (ROOT / f"requirements/{program}.txt").read_text()
    assert sbom.against(document, lock) == (set(), set())


def test_what_a_program_imports_is_compiled(daemon: Docker, image: str) -> None:
    variables = ("--env", "PYTHONVERBOSE=1", "--env", "ACCOUNT=keeper")
    _, said = daemon.container(image, options=variables)
    named = re.findall(r"^# code object from '([^']+)'", said, re.MULTILINE)
    sources = {Path(name) for name in named}
    assert sources
    assert {source for source in sources if source.suffix != ".pyc"} == set()


def test_sigterm_ends_a_program_as_process_1(daemon: Docker, image: str, program: str) -> None:
    package = FOLDERS[program]
    script = daemon.folder / "busy.py"
    script.write_text("import time; print('ready', flush=True); time.sleep(60)")
    daemon.folder.chmod(0o755)  # nobody's but root's, else
    # The image's own entry point, on a program that does not end by itself.
    volume = f"{script}:/srv/{package}/__main__.py:ro"
    places = ("--volume", volume, "--tmpfs", f"/srv/{package}/__pycache__")
    name = daemon.run("run", "--detach", "--network=none", *places, image)
    while "ready" not in daemon.run("logs", name):
        assert daemon.inspect(name)["State"]["Running"]
        time.sleep(0.05)
    started = time.monotonic()
    daemon.run("stop", "--time=30", name)
    assert daemon.inspect(name)["State"]["ExitCode"] == STATUS
    assert time.monotonic() - started < 10
    daemon.run("rm", name)
