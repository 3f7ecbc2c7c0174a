"""The ledger: never lower than what was bought, whoever else writes, whatever the month."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from pipeline.errors import UserError
from pipeline.prices import POST_CREATE
from pipeline.spend import Ledger, LimitReached
from pipeline.store import Store

NOVEMBER = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, 0, 0, tzinfo=UTC)


def ledger(store: Store, limit: str = "1", at: datetime = NOVEMBER) -> Ledger:
    return Ledger(store, "spend.json", Decimal(limit), lambda: at)


def test_nothing_is_spent_at_first(store: Store) -> None:
    spent = ledger(store).spent()
    assert (spent.month, spent.usd, spent.count, spent.total) == ("2026-11", 0, 0, 0)


def test_purchases_add_up_to_the_cent(store: Store) -> None:
    for _ in range(3):
        ledger(store).reserve(POST_CREATE)
    ledger(store).reserve(Decimal("0.50"), 100)
    spent = ledger(store).spent()
    assert (spent.usd, spent.count, spent.total) == (Decimal("0.545"), 103, 103)


def test_the_limit_can_be_reached_and_not_passed(store: Store) -> None:
    small = ledger(store, "0.03")
    small.reserve(POST_CREATE)
    small.reserve(POST_CREATE)
    with pytest.raises(LimitReached, match=r"spend\.json: \$0\.030 of this month's \$0\.03"):
        small.reserve(POST_CREATE)
    assert small.spent().count == 2
    assert small.left() == 0


def test_what_x_did_not_sell_is_given_back(store: Store) -> None:
    book = ledger(store)
    reserved = book.reserve(Decimal("0.5"), 100)
    book.give_back(Decimal("0.35"), 70, reserved)
    assert (book.spent().usd, book.spent().count, book.left()) == (
        Decimal("0.15"),
        30,
        Decimal("0.85"),
    )


def test_a_new_month_in_utc_starts_at_nothing_and_the_total_stays(store: Store) -> None:
    ledger(store).reserve(Decimal(1), 5)
    still_november = NOVEMBER.astimezone(timezone(timedelta(hours=8)))
    with pytest.raises(LimitReached):
        ledger(store, at=still_november).reserve(POST_CREATE)
    ledger(store, at=DECEMBER).reserve(POST_CREATE)
    spent = ledger(store, at=DECEMBER).spent()
    assert (spent.month, spent.usd, spent.count, spent.total) == ("2026-12", POST_CREATE, 1, 6)


def test_what_was_reserved_in_november_is_given_back_to_november_alone(store: Store) -> None:
    reserved = ledger(store).reserve(Decimal("0.5"), 100)
    ledger(store, at=DECEMBER).reserve(Decimal("0.2"), 40)
    ledger(store, at=DECEMBER).give_back(Decimal("0.5"), 100, reserved)
    spent = ledger(store, at=DECEMBER).spent()
    assert (spent.month, spent.usd, spent.count, spent.total) == ("2026-12", Decimal("0.2"), 40, 40)


def test_november_gets_its_money_back_in_december_before_anything_else_is_bought(
    store: Store,
) -> None:
    reserved = ledger(store).reserve(Decimal("0.5"), 100)
    ledger(store, at=DECEMBER).give_back(Decimal("0.2"), 40, reserved)
    assert ledger(store).spent().usd == Decimal("0.3")
    assert ledger(store, at=DECEMBER).spent().usd == 0


def test_the_month_never_goes_back(store: Store) -> None:
    """A clock that is behind would start November's limit anew, and then December's."""
    ledger(store, at=DECEMBER).reserve(Decimal(1))
    with pytest.raises(LimitReached):
        ledger(store).reserve(POST_CREATE)
    assert ledger(store).spent().month == "2026-12"
    assert ledger(store, at=DECEMBER).left() == 0


def within(store: Store, name: str, limit: str, at: datetime = NOVEMBER) -> Ledger:
    whole = Ledger(store, "whole.json", Decimal("0.10"), lambda: at)
    return Ledger(store, name, Decimal(limit), lambda: at, whole)


def test_a_limit_for_all_binds_each(store: Store) -> None:
    one, other = within(store, "one.json", "1"), within(store, "other.json", "0.05")
    assert (one.limit, one.left(), other.left()) == (Decimal("0.10"), Decimal("0.10"), other.limit)
    reserved = one.reserve(Decimal("0.08"), 8)
    assert other.left() == Decimal("0.02")
    with pytest.raises(LimitReached, match=r"whole\.json: \$0\.08 of this month's \$0\.10"):
        other.reserve(Decimal("0.03"))
    one.give_back(Decimal("0.04"), 4, reserved)
    with pytest.raises(LimitReached, match=r"other\.json: \$0 of this month's \$0\.05"):
        other.reserve(Decimal("0.06"))
    other.reserve(Decimal("0.05"), 5)
    whole = Ledger(store, "whole.json", Decimal("0.10"), lambda: NOVEMBER)
    assert (whole.spent().usd, whole.spent().count, whole.left()) == (
        Decimal("0.09"),
        9,
        Decimal("0.01"),
    )


def test_reservations_at_one_time_are_all_counted(store: Store) -> None:
    def reserve(_: int) -> bool:
        try:
            ledger(store, "0.10").reserve(Decimal("0.01"))
        except LimitReached:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        granted = sum(pool.map(reserve, range(16)))
    assert granted == 10
    assert ledger(store).spent().usd == Decimal("0.10")


def test_the_document_is_as_documented(store: Store) -> None:
    ledger(store).reserve(POST_CREATE)
    found = store.read("spend.json")
    assert found is not None
    document = json.loads(found.data)
    assert document.pop("nonce")
    assert document == {"version": 1, "month": "2026-11", "usd": "0.015", "count": 1, "total": 1}


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"month": "2026-11", "usd": "x"}'])
def test_a_damaged_ledger_stops_spending(store: Store, data: bytes) -> None:
    store.write("spend.json", data, generation=0)
    with pytest.raises(UserError, match=r"spend\.json: .*; restore an earlier version"):
        ledger(store).reserve(POST_CREATE)
