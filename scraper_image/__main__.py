"""Collects the timeline of the account that the environment names, once."""

import contextlib
import json
import os
import re
import sys
from decimal import Decimal, InvalidOperation

from pipeline import clock, events, layout, secrets, x
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.spend import Ledger, LimitReached
from pipeline.store import Changed, Store
from scraper_image.collect import Collector
from scraper_image.timeline import Timeline


def main() -> int:
    """Run once; the exit status is 0 if all that X has is collected."""
    account = os.environ.get("ACCOUNT", "scraper")
    try:
        _collect(_given("ACCOUNT"))
    except LimitReached as error:
        log(
            "ERROR",
            f"{account}: {error}",
            event=events.SPEND_LIMIT,
            account=account,
            bucket=os.environ["DATA_BUCKET"],
        )
        return 1
    except UserError as error:
        log("ERROR", f"{account}: {error}", account=account)
        return 1
    return 0


def _collect(account: str) -> None:
    handle = _given("HANDLE")
    if not re.fullmatch(r"[A-Za-z0-9_]{1,15}", handle):
        raise UserError(
            f"HANDLE is {handle!r}, which no user of X can have; "
            "write the name alone, without @ and address"
        )
    bearer = x.required(
        secrets.latest(_given("X_BEARER_SECRET")),
        "X bearer token",
        "bots credentials --bearer",
    )
    limit = _money("READS_USD_PER_MONTH")
    store = Store.open(_given("DATA_BUCKET"))
    ledger = Ledger(store, layout.reads(account), limit, clock.now)
    before = ledger.spent().total
    timeline = Timeline(x.client(bearer))
    index = Collector(store, account, handle, timeline, ledger).collect()
    _note_success(store, account)
    spent = ledger.spent()
    log(
        "INFO",
        f"{account}: {spent.total - before} posts bought, {index.count} held of @{handle}",
        account=account,
        bought=spent.total - before,
        held=index.count,
        newest_id=index.newest_id,
        usd_this_month=str(spent.usd),
    )


def _note_success(store: Store, account: str) -> None:
    """Leave the time for the watcher, which reports an account that is no longer collected."""
    found = store.read(layout.collected(account))
    data = json.dumps({"at": clock.now().isoformat()}).encode()
    with contextlib.suppress(Changed):  # by an execution that has just ended well, too
        store.write(layout.collected(account), data, generation=found.generation if found else 0)


def _given(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise UserError(f"{name} is not in the environment; the stack declares it for the job")
    return value


def _money(name: str) -> Decimal:
    value = _given(name)
    try:
        money = Decimal(value)
    except InvalidOperation:
        money = Decimal("NaN")
    if not money.is_finite() or money < 0:
        raise UserError(f"{name} is {value!r}; write US dollars, as in 5.00")
    return money


if __name__ == "__main__":
    sys.exit(main())
