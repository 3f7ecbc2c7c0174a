from datetime import UTC, datetime, timedelta

import pytest

from pipeline.clock import Clock
from pipeline.lease import Busy
from pipeline.store import Store
from trainer_image import lease
from trainer_image.lease import LENGTH, Lease

START = datetime(2026, 11, 23, 12, tzinfo=UTC)


def at(minutes: float) -> Clock:
    return lambda: START + timedelta(minutes=minutes)


def test_another_run_waits_until_the_lease_expires(store: Store) -> None:
    Lease(store, "keeper", "first", at(0))
    with pytest.raises(
        Busy, match=r"run first has leases/accounts/keeper\.json until 2026-11-23 12:30 UTC"
    ):
        Lease(store, "keeper", "second", at(29))
    Lease(store, "keeper", "second", at(31))


def test_a_run_takes_its_own_lease_again(store: Store) -> None:
    Lease(store, "keeper", "first", at(0))
    Lease(store, "keeper", "first", at(1))


def test_a_lease_binds_one_account_only(store: Store) -> None:
    Lease(store, "keeper", "first", at(0))
    Lease(store, "baker", "second", at(0))


def test_a_lease_ends_with_its_block_however_that_ends(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), lease.held(store, "keeper", "first", at(0)):
        raise KeyboardInterrupt
    Lease(store, "keeper", "second", at(0))


def test_training_for_longer_keeps_the_lease(store: Store) -> None:
    now = START
    mine = Lease(store, "keeper", "first", lambda: now)
    for _ in range(6):
        now += LENGTH / 3
        mine.renew()
    with pytest.raises(Busy):
        Lease(store, "keeper", "second", lambda: now)


def test_renewing_a_lost_lease_is_an_error(store: Store) -> None:
    now = START
    mine = Lease(store, "keeper", "first", lambda: now)
    now += LENGTH * 2
    Lease(store, "keeper", "second", lambda: now)
    with pytest.raises(Busy, match=r"^another run has taken leases/accounts/keeper\.json$"):
        mine.renew()


def test_a_damaged_lease_binds_nobody(store: Store) -> None:
    store.write("leases/accounts/keeper.json", b"nonsense", generation=0)
    Lease(store, "keeper", "first", at(0))
