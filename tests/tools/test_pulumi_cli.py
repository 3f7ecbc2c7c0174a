"""Finding and making the Pulumi CLI."""

import os
from pathlib import Path

import pytest

from pipeline.errors import UserError
from tools import pulumi_cli


def install(folder: Path, script: str, *, host: bool = True) -> Path:
    """Put a stand-in for the CLI there, which can tell its version and nothing else."""
    folder.mkdir(parents=True)
    for name in ("pulumi", "pulumi-language-python") if host else ("pulumi",):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder / "pulumi"


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole of PATH, with neither Pulumi nor Go, and no way out."""
    folder = tmp_path / "path"
    monkeypatch.setenv("PATH", f"{folder}:/nowhere")
    monkeypatch.setattr(pulumi_cli, "_INSTALL", "raise SystemExit('no network')")
    return folder


def test_the_cli_on_the_path_is_taken(only: Path, tmp_path: Path) -> None:
    program = install(only, "echo v3.300.1")
    assert pulumi_cli.cli(tmp_path / "cache") == program


def test_a_cli_in_the_cache_is_used_before_one_is_made(only: Path, tmp_path: Path) -> None:
    program = install(tmp_path / "cache" / pulumi_cli.BUILT / "bin", f"echo {pulumi_cli.BUILT}")
    assert pulumi_cli.cli(tmp_path / "cache") == program


@pytest.mark.parametrize(
    ("script", "host", "reason"),
    [
        ("echo v3.199.0", True, "is of version v3.199.0"),
        ("echo v4.0.0", True, "is of version v4.0.0"),
        ("echo hello", True, "is of version hello"),
        ("exit 3", True, "does not run"),
        ("echo v3.300.1", False, "has no pulumi-language-python beside it"),
    ],
)
def test_an_unusable_cli_is_refused_and_everything_tried_is_named(
    only: Path, tmp_path: Path, script: str, host: bool, reason: str
) -> None:
    install(only, script, host=host)
    with pytest.raises(UserError) as refusal:
        pulumi_cli.cli(tmp_path / "cache")
    text = str(refusal.value)
    assert "\n" not in text
    assert reason in text
    assert "no network" in text
    assert "there is no Go" in text
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_download_that_never_ends_is_ended(
    only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pulumi_cli, "_INSTALL", "import time; time.sleep(60)")
    monkeypatch.setattr(pulumi_cli, "_REPORT_SECONDS", 0.2)
    monkeypatch.setattr(pulumi_cli, "_DOWNLOAD_SECONDS", 0.5)
    with pytest.raises(UserError, match="stopped after"):
        pulumi_cli.cli(tmp_path / "cache")
    assert "downloading the Pulumi CLI" in capfd.readouterr().err


@pytest.mark.deep
def test_go_builds_a_cli_from_the_committed_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulumi_cli, "_INSTALL", "raise SystemExit('no network')")
    folders = os.environ["PATH"].split(os.pathsep)
    without = [folder for folder in folders if not (Path(folder) / "pulumi").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(without))
    program = pulumi_cli.cli(tmp_path)
    assert program == tmp_path / pulumi_cli.BUILT / "bin" / "pulumi"
    assert sorted(path.name for path in program.parent.iterdir()) == [
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
    ]
