"""The local clock."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from local.clock import LocalClock

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Real:
    """Real time, which passes when a test says so."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime:
        return self.time


def test_it_is_real_time_until_it_is_advanced(tmp_path: Path) -> None:
    real = Real()
    clock = LocalClock(tmp_path / "clock.json", real)
    real.time += timedelta(seconds=7)
    assert clock.now() == NOON + timedelta(seconds=7)


def test_time_goes_on_from_where_it_was_advanced_to(tmp_path: Path) -> None:
    real = Real()
    clock = LocalClock(tmp_path / "clock.json", real)
    clock.advance_to(NOON + timedelta(hours=5))
    real.time += timedelta(minutes=1)
    assert clock.now() == NOON + timedelta(hours=5, minutes=1)


def test_it_never_goes_back(tmp_path: Path) -> None:
    clock = LocalClock(tmp_path / "clock.json", Real())
    clock.advance_to(NOON + timedelta(hours=5))
    clock.advance_to(NOON + timedelta(hours=1))
    assert clock.now() == NOON + timedelta(hours=5)


def test_a_restart_does_not_lose_the_time_to_which_it_was_advanced(tmp_path: Path) -> None:
    LocalClock(tmp_path / "clock.json", Real()).advance_to(NOON + timedelta(days=2))
    assert LocalClock(tmp_path / "clock.json", Real()).now() == NOON + timedelta(days=2)
