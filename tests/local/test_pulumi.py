"""The environment in which the Pulumi CLI knows only the local cloud."""

import os
import sys
from pathlib import Path

import pytest

from local import pulumi


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
