"""Whatever a person calls tells the version of the project, which is written down once."""

import re
import subprocess
import sys
from types import ModuleType

import pytest

import bots.__main__
import demo.__main__
import local.__main__
from pipeline import __version__
from tests.contracts.coverage import ROOT


@pytest.mark.parametrize("command", [bots.__main__, local.__main__, demo.__main__])
def test_each_command_tells_its_version(
    command: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["command", "--version"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.split()[-1] == __version__


@pytest.mark.parametrize("image", ["app", "control_image", "scraper_image", "trainer_image"])
def test_each_image_tells_its_version_without_being_set_up(image: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "pipeline.program", image, "--version"],
        cwd=ROOT,
        env={},
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout == f"{image} {__version__}\n"


def test_each_image_starts_by_the_module_that_tells_its_version() -> None:
    for dockerfile in ROOT.glob("*/Dockerfile"):
        started = dockerfile.read_text() + "".join(
            script.read_text() for script in dockerfile.parent.glob("entrypoint.sh")
        )
        assert re.search(rf"pipeline\.program[\", ]+{dockerfile.parent.name}", started), dockerfile


def test_the_changelog_has_the_version() -> None:
    assert f"\n## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()
