"""Finding the Pulumi CLI, and the environment in which it knows only the local cloud."""

import os
import sys
from pathlib import Path

import pytest

from local import pulumi
from pipeline.errors import UserError


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
    monkeypatch.setattr(pulumi, "_INSTALL", "raise SystemExit('no network')")
    return folder


def test_the_cli_on_the_path_is_taken(only: Path, tmp_path: Path) -> None:
    program = install(only, "echo v3.300.1")
    assert pulumi.cli(tmp_path / "cache") == program


def test_a_cli_in_the_cache_is_used_before_one_is_made(only: Path, tmp_path: Path) -> None:
    program = install(tmp_path / "cache" / pulumi.BUILT / "bin", f"echo {pulumi.BUILT}")
    assert pulumi.cli(tmp_path / "cache") == program


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
        pulumi.cli(tmp_path / "cache")
    text = str(refusal.value)
    assert "\n" not in text
    assert reason in text
    assert "no network" in text
    assert "there is no Go" in text
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_download_that_never_ends_is_ended(
    only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pulumi, "_INSTALL", "import time; time.sleep(60)")
    monkeypatch.setattr(pulumi, "_REPORT_SECONDS", 0.2)
    monkeypatch.setattr(pulumi, "_DOWNLOAD_SECONDS", 0.5)
    with pytest.raises(UserError, match="stopped after"):
        pulumi.cli(tmp_path / "cache")
    assert "downloading the Pulumi CLI" in capfd.readouterr().err


def test_nothing_of_the_callers_own_pulumi_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "pul-1")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "https://api.pulumi.com")
    environment = pulumi.environment(Path("/p/bin/pulumi"), tmp_path, {"gcp": 1, "docker-build": 2})
    assert "PULUMI_ACCESS_TOKEN" not in environment
    assert environment["PULUMI_BACKEND_URL"] == f"file://{tmp_path}/state?metadata=skip"
    assert (tmp_path / "state").is_dir()
    assert environment["PULUMI_DEBUG_PROVIDERS"] == "gcp:1,docker-build:2"
    assert environment["PATH"].split(os.pathsep)[:2] == [f"{sys.prefix}/bin", "/p/bin"]


@pytest.mark.deep
def test_go_builds_a_cli_from_the_committed_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulumi, "_INSTALL", "raise SystemExit('no network')")
    folders = os.environ["PATH"].split(os.pathsep)
    without = [folder for folder in folders if not (Path(folder) / "pulumi").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(without))
    program = pulumi.cli(tmp_path)
    assert program == tmp_path / pulumi.BUILT / "bin" / "pulumi"
    assert sorted(path.name for path in program.parent.iterdir()) == [
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
    ]
