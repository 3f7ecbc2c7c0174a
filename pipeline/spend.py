"""An account's purchases at X this month, and their limit."""

import secrets
from datetime import UTC
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from pipeline import documents
from pipeline.clock import Clock
from pipeline.documents import Document
from pipeline.errors import UserError
from pipeline.store import Store

# US dollars, pay-per-use since 2026-02-06; https://docs.x.com/x-api/getting-started/pricing
POST_READ = Decimal("0.005")
USER_READ = Decimal("0.010")
POST_CREATE = Decimal("0.015")


class LimitReached(UserError):
    """The purchase would exceed the month's limit."""


class Spent(Document):
    """The purchases of a month, and the total number of all months."""

    month: str
    usd: Decimal
    count: int
    total: int
    nonce: Annotated[str, Field(description="tells two equal reservations apart")] = ""


class Ledger:
    """What one account has spent this month, in one object. Months are in UTC.

    The ledger is written before something is bought, so that a crash leaves it too high and never
    too low. It is corrected after X's response.
    """

    def __init__(self, store: Store, object_name: str, limit_usd: Decimal, clock: Clock) -> None:
        self._store = store
        self._name = object_name
        self._limit = limit_usd
        self._clock = clock

    def reserve(self, usd: Decimal, count: int = 1) -> None:
        """Reserve `usd` for `count` purchases; raises LimitReached if that exceeds the limit."""
        self._add(usd, count)

    def give_back(self, usd: Decimal, count: int = 1) -> None:
        """Undo a reservation, or the part of it that X did not sell."""
        self._add(-usd, -count)

    def spent(self) -> Spent:
        """The purchases of this month."""
        return self._this_month(documents.load(self._store, self._name, Spent))

    def left(self) -> Decimal:
        """US dollars that may still be spent this month."""
        return max(self._limit - self.spent().usd, Decimal(0))

    def _add(self, usd: Decimal, count: int) -> None:
        def change(before: Spent | None) -> Spent:
            spent = self._this_month(before)
            if usd > 0 and spent.usd + usd > self._limit:
                raise LimitReached(
                    f"{self._name}: ${spent.usd} of this month's ${self._limit} are spent and this "
                    f"needs ${usd}; raise the limit in the stack file, or wait for next month"
                )
            return spent.model_copy(
                update={
                    # A reservation of last month may be given back this month. It must not add to
                    # this month's money.
                    "usd": max(spent.usd + usd, Decimal(0)),
                    "count": max(spent.count + count, 0),
                    "total": spent.total + count,
                    "nonce": secrets.token_hex(8),
                }
            )

        documents.update(self._store, self._name, Spent, change)

    def _this_month(self, spent: Spent | None) -> Spent:
        month = f"{self._clock().astimezone(UTC):%Y-%m}"
        if spent is None:
            return Spent(month=month, usd=Decimal(0), count=0, total=0)
        if spent.month == month:
            return spent
        return spent.model_copy(update={"month": month, "usd": Decimal(0), "count": 0})
