"""Clock, log, names and settings: what every program takes for granted."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline import clock, layout
from pipeline.log import log
from pipeline.settings import Settings


def test_without_clock_the_time_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOCK", raising=False)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert clock.now().tzinfo is UTC


def test_clock_is_the_time_at_which_a_process_started() -> None:
    program = "from pipeline import clock; print(clock.now().isoformat())"
    started = subprocess.run(
        [sys.executable, "-c", program],
        env={"CLOCK": "2031-05-01T12:00:00Z"},
        capture_output=True,
        text=True,
        check=True,
    )
    told = datetime.fromisoformat(started.stdout.strip())
    assert timedelta() <= told - datetime(2031, 5, 1, 12, tzinfo=UTC) < timedelta(seconds=5)


def test_a_log_entry_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    log("ERROR", "two\nlines", account="keeper")
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert json.loads(line) == {"severity": "ERROR", "message": "two\nlines", "account": "keeper"}


def test_a_name_that_fits_is_left_alone() -> None:
    assert layout.fit("a" * 63, 63) == "a" * 63


def test_a_name_that_is_cut_fits_and_stays_different() -> None:
    one, two = layout.fit("a" * 64, 63), layout.fit("a" * 65, 63)
    assert len(one) == len(two) == 63
    assert one != two
    assert layout.fit("ab-" * 20, 12) == layout.fit("ab-" * 20, 12)
    assert "--" not in layout.fit("abc-" + "d" * 20, 12)


def test_bucket_names_fit_and_differ_between_stacks() -> None:
    project = "a-project-with-thirty-characte"
    names = {
        bucket(project, stack)
        for bucket in (layout.data_bucket, layout.models_bucket)
        for stack in (
            "dev",
            "prod",
            "a-very-long-stack-name-that-does-not-fit",
            "a-very-long-stack",
        )
    }
    assert len(names) == 8
    assert all(len(name) <= 63 for name in names)


def test_no_account_can_reach_into_anothers_prefix() -> None:
    for prefix in (layout.tweets, layout.posts, layout.releases, layout.segments):
        assert not prefix("keeper2").startswith(prefix("keeper"))


def test_all_that_is_collected_of_an_account_is_under_one_prefix() -> None:
    for name in (layout.segments("a"), layout.index("a"), layout.reads("a")):
        assert name.startswith(layout.tweets("a"))
    for name in (layout.slot("a", "s"), layout.history("a"), layout.spent("a")):
        assert name.startswith(layout.posts("a"))


def test_settings_have_sound_defaults() -> None:
    assert Settings().base_model == "124M"


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"learning_rate": 0},
        {"learning_rate": 1},
        {"batch_size": 0},
        {"window": 2000},
        {"min_tweets": 3},
        {"base_model": "../124M"},
        {"stepps": 3},
    ],
)
def test_settings_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Settings.model_validate(wrong)
