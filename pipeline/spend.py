"""What X sold this month, and the limit that stops us before X's bill does."""

import json
import secrets
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal

from pipeline.clock import Clock
from pipeline.errors import UserError
from pipeline.store import Changed, Store

# US dollars, pay-per-use since 2026-02-06; https://docs.x.com/x-api/getting-started/pricing
POST_READ = Decimal("0.005")
USER_READ = Decimal("0.010")
POST_CREATE = Decimal("0.015")


class LimitReached(UserError):
    """The month's money is spent."""


@dataclass(frozen=True)
class Spent:
    """A month's purchases, and the number of all that were ever made."""

    month: str
    usd: Decimal = Decimal(0)
    count: int = 0
    total: int = 0


class Ledger:
    """What one account spent, in one object, by the month in UTC.

    It is written before something is bought, so that a crash leaves it too high and never too
    low, and corrected when X has answered.
    """

    def __init__(self, store: Store, object_name: str, limit_usd: Decimal, clock: Clock) -> None:
        self._store = store
        self._name = object_name
        self._limit = limit_usd
        self._clock = clock

    def reserve(self, usd: Decimal, count: int = 1) -> None:
        """Set `usd` aside for `count` purchases; LimitReached, and nothing is, beyond the limit."""
        self._add(usd, count)

    def give_back(self, usd: Decimal, count: int = 1) -> None:
        """Undo (part of) a reservation for what X did not sell."""
        self._add(-usd, -count)

    def spent(self) -> Spent:
        """What was bought this month."""
        return self._read()[0]

    def left(self) -> Decimal:
        """US dollars that this month still has."""
        return max(self._limit - self.spent().usd, Decimal(0))

    def _add(self, usd: Decimal, count: int) -> None:
        while True:
            spent, generation = self._read()
            if usd > 0 and spent.usd + usd > self._limit:
                raise LimitReached(
                    f"{self._name}: ${spent.usd} of this month's ${self._limit} are spent and this "
                    f"needs ${usd}; raise the limit in the stack file, or wait for next month"
                )
            document = {
                "month": spent.month,
                # What was reserved last month and is given back in this makes this none cheaper.
                "usd": str(max(spent.usd + usd, Decimal(0))),
                "count": max(spent.count + count, 0),
                "total": spent.total + count,
                "nonce": secrets.token_hex(8),  # or two equal reservations would pass for one
            }
            try:
                self._store.write(self._name, json.dumps(document).encode(), generation=generation)
            except Changed:
                continue
            return

    def _read(self) -> tuple[Spent, int]:
        month = f"{self._clock().astimezone(UTC):%Y-%m}"
        found = self._store.read(self._name)
        if found is None:
            return Spent(month), 0
        try:
            document = json.loads(found.data)
            kept = Spent(
                document["month"],
                Decimal(document["usd"]),
                int(document["count"]),
                int(document["total"]),
            )
        except (ValueError, KeyError, TypeError, ArithmeticError):
            raise UserError(f"{self._name}: no ledger; restore the object's last version") from None
        if kept.month != month:
            kept = Spent(month, total=kept.total)
        return kept, found.generation
