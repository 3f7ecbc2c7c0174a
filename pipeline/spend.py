"""An account's purchases at X this month, and their limit."""

import secrets
from datetime import UTC
from decimal import Decimal
from typing import Annotated, NamedTuple

from pydantic import Field

from pipeline import documents
from pipeline.clock import Clock
from pipeline.documents import Document
from pipeline.errors import UserError
from pipeline.store import Store


class LimitReached(UserError):
    """The purchase would exceed the month's limit."""


class Reservation(NamedTuple):
    """The month that a reservation counts in, in a ledger and in the one around it."""

    month: str
    around: "Reservation | None" = None


class Spent(Document):
    """The purchases of a month, and the total number of all months."""

    month: str
    usd: Decimal
    count: int
    total: int
    nonce: Annotated[str, Field(description="tells two equal reservations apart")] = ""


class Ledger:
    """What was spent in a month, in one object. Months are in UTC.

    The ledger is written before something is bought, so that a crash leaves it too high and never
    too low. It is corrected after X's response.

    The month is the newest that any program's clock has shown. So it never goes back, and a limit
    does not start anew if a clock is wrong.
    """

    def __init__(
        self,
        store: Store,
        object_name: str,
        limit_usd: Decimal,
        clock: Clock,
        within: "Ledger | None" = None,
    ) -> None:
        """Open the ledger of that name.

        Args:
            store: The bucket with the ledger.
            object_name: The ledger's name in the bucket.
            limit_usd: The most US dollars that may be spent in a month.
            clock: The time.
            within: A ledger with a limit for several accounts, which counts each purchase, too.
        """
        self._store = store
        self._name = object_name
        self._limit = limit_usd
        self._clock = clock
        self._within = within

    def reserve(self, usd: Decimal, count: int = 1) -> Reservation:
        """Reserve `usd` for `count` purchases.

        Raises:
            LimitReached: They would exceed the limit of this ledger, or of the one around it.
        """
        around = self._within and self._within.reserve(usd, count)
        try:
            return Reservation(self._reserve(usd, count), around)
        except LimitReached:
            if self._within and around:
                self._within.give_back(usd, count, around)
            raise

    def give_back(self, usd: Decimal, count: int, reserved: Reservation) -> None:
        """Undo a reservation, or the part of it that X did not sell. Other months stay as is."""

        def change(spent: Spent | None) -> Spent:
            if spent is None:
                raise UserError(f"{self._name} was deleted; restore an earlier version of it")
            update: dict[str, object] = {"total": max(spent.total - count, 0)}
            if spent.month == reserved.month:
                # Never below zero, even if the object was replaced by an earlier version of it.
                update |= {
                    "usd": max(spent.usd - usd, Decimal(0)),
                    "count": max(spent.count - count, 0),
                }
            return spent.model_copy(update={**update, "nonce": secrets.token_hex(8)})

        documents.update(self._store, self._name, Spent, change)
        if self._within and reserved.around:
            self._within.give_back(usd, count, reserved.around)

    def spent(self) -> Spent:
        """The purchases of this month."""
        return self._this_month(documents.load(self._store, self._name, Spent))

    @property
    def limit(self) -> Decimal:
        """US dollars that may be spent in a month, here and in the ledger around."""
        return min(self._limit, self._within.limit) if self._within else self._limit

    def left(self) -> Decimal:
        """US dollars that may still be spent this month."""
        left = max(self._limit - self.spent().usd, Decimal(0))
        return min(left, self._within.left()) if self._within else left

    def _reserve(self, usd: Decimal, count: int) -> str:
        def change(before: Spent | None) -> Spent:
            spent = self._this_month(before)
            if spent.usd + usd > self._limit:
                raise LimitReached(
                    f"{self._name}: ${spent.usd} of this month's ${self._limit} are spent and this "
                    f"needs ${usd}; raise the limit in the stack file, or wait for next month"
                )
            return spent.model_copy(
                update={
                    "usd": spent.usd + usd,
                    "count": spent.count + count,
                    "total": spent.total + count,
                    "nonce": secrets.token_hex(8),
                }
            )

        return documents.update(self._store, self._name, Spent, change).month

    def _this_month(self, spent: Spent | None) -> Spent:
        month = f"{self._clock().astimezone(UTC):%Y-%m}"
        if spent is None:
            return Spent(month=month, usd=Decimal(0), count=0, total=0)
        if spent.month >= month:
            return spent
        return spent.model_copy(update={"month": month, "usd": Decimal(0), "count": 0})
