"""The scraper against the local cloud's X, which cuts pages as X does and counts what it sells."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.x import Draft, XServer
from pipeline import corpus, x
from pipeline.curation import curate
from pipeline.learn import Learn
from pipeline.spend import Ledger
from pipeline.store import Store
from pipeline.x import XError
from scraper_image.collect import Collector
from scraper_image.timeline import Timeline
from tests.scraper.conftest import NOW
from tests.scraper.double import X


@pytest.fixture
def stand_in(double: X, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[XServer]:
    """In place of the double that the other tests of the scraper ask."""
    server = XServer(tmp_path / "x", clock=lambda: NOW)
    server.start()
    monkeypatch.setenv("X_API_URL", server.url)
    yield server
    server.stop()


Make = Callable[..., Collector]


def test_a_timeline_is_collected_without_its_retweets(
    store: Store, stand_in: XServer, collector: Make, ledger: Ledger
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    days = [start + timedelta(days=n) for n in range(300)]
    own = [(f"night {n} & fog", at) for n, at in enumerate(days) if not 20 <= n < 240]
    stand_in.add_user("keeper", own)
    for at in days[20:240]:
        text = f"RT @other: {at}"
        stand_in.write("keeper", Draft(text=text, created_at=at, retweets="7"))
    written = [text for text, _ in own]
    timeline = Timeline(x.client(stand_in.bearer()))
    index = collector(handle="keeper", timeline=timeline).collect()
    assert [tweet.text for tweet in curate(corpus.read(store, "keeper"), Learn()).kept] == written
    assert index.count == len(written)
    assert collector(handle="keeper", timeline=timeline).collect() == index
    assert stand_in.counts()["keeper"]["posts_read"] == ledger.spent().count == len(written)
    assert stand_in.counts()["keeper"]["user_reads"] == 1


@pytest.mark.parametrize("state", ["protected", "suspended"])
def test_an_account_that_closed_is_an_error_and_keeps_what_was_collected(
    store: Store, stand_in: XServer, collector: Make, state: str
) -> None:
    stand_in.add_user("keeper", [("fog", NOW - timedelta(days=1))])
    timeline = Timeline(x.client(stand_in.bearer()))
    collector(handle="keeper", timeline=timeline).collect()
    stand_in.add_user("keeper", protected=state == "protected", suspended=state == "suspended")
    with pytest.raises(XError, match=state) as error:
        collector(handle="keeper", timeline=timeline).collect()
    assert error.value.kind == "forbidden"
    assert len(corpus.read(store, "keeper")) == 1
    stand_in.add_user("keeper")
    collector(handle="keeper", timeline=timeline).collect()


def test_a_handle_that_nobody_has_is_an_error(stand_in: XServer, collector: Make) -> None:
    with pytest.raises(XError, match="no such account") as error:
        collector(handle="nobody", timeline=Timeline(x.client(stand_in.bearer()))).collect()
    assert error.value.kind == "not-found"
