"""A program ends with one line, whoever can mend what went wrong."""

import importlib
from typing import Any, NoReturn
from unittest.mock import Mock

import pytest

from pipeline.errors import PipelineError, Unavailable, UserError


def fail(*_: Any, **__: Any) -> NoReturn:
    raise Unavailable("storage is down; nothing is lost, run it again")


@pytest.mark.parametrize(
    ("program", "arguments", "step"),
    [
        ("app", ["post"], "post"),
        ("app", ["self-test"], "load_composer"),
        ("bots", ["status", "--stack", "local"], "Cloud"),
        ("control_image", ["watch"], "Registry"),
        ("scraper_image", [], "_collect"),
        ("trainer_image", ["train", "run"], "read_result"),
        ("local", ["status"], "_do"),
    ],
)
def test_an_outage_ends_a_program_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    program: str,
    arguments: list[str],
    step: str,
) -> None:
    module = importlib.import_module(f"{program}.__main__")
    monkeypatch.setattr("sys.argv", [program, *arguments])
    monkeypatch.setattr("pipeline.interrupt.listen", lambda: None)
    for name in (
        "ACCOUNT", "DATA_BUCKET", "MODELS_BUCKET", "REPOSITORY", "TOPIC", "SETTINGS",
        "MAX_RUN_SECONDS", "KEEP_RELEASES", "HANDLE", "X_BEARER_SECRET", "READS_USD_PER_MONTH",
        "TASK_TIMEOUT",
    ):  # fmt: skip
        monkeypatch.setenv(name, {"SETTINGS": "{}"}.get(name, "1"))
    monkeypatch.setattr("pipeline.store.Store.open", Mock())
    monkeypatch.setattr(module, step, fail)
    assert module.main() == 1
    out, err = capsys.readouterr()
    (line,) = (out + err).splitlines()
    assert "storage is down" in line


def test_an_outage_is_no_user_error() -> None:
    assert issubclass(Unavailable, PipelineError)
    assert not issubclass(Unavailable, UserError)
