"""An X double, and the scraper wired to it and to a real object store."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from pipeline import layout, x
from pipeline.spend import Ledger
from pipeline.store import Store
from scraper_image.collect import Collector
from scraper_image.timeline import Timeline
from scraper_image.wait import Patience
from tests.scraper.double import BEARER, Server, X

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Time:
    """The time, which passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = NOW

    def clock(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def patience(self, seconds: int = 1800) -> Patience:
        return Patience(self.now + timedelta(seconds=seconds), self.clock, self.sleep)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[X]:
    served = X()
    with Server(served):
        monkeypatch.setenv("X_API_URL", served.url)
        yield served


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store, layout.reads("keeper"), Decimal(100), lambda: NOW)


@pytest.fixture
def collector(store: Store, double: X, ledger: Ledger, time: Time) -> Callable[..., Collector]:
    """The collector of account `keeper`, each part to be replaced by name."""

    def make(**other: object) -> Collector:
        parts: dict[str, object] = {
            "store": store,
            "account": "keeper",
            "handle": double.handle,
            "timeline": Timeline(x.client(BEARER)),
            "ledger": ledger,
            "patience": time.patience(),
            "execution": "first",
        }
        return Collector(**(parts | other))  # type: ignore[arg-type]

    return make
