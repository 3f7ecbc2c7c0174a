"""Collects the timeline of one account, once."""

import sys
from decimal import Decimal

from pydantic import Field

from pipeline import clock, events, last_collection, layout, secrets, x
from pipeline.environment import Environment
from pipeline.errors import PipelineError, UserError
from pipeline.log import log
from pipeline.spend import Ledger, LimitReached
from pipeline.store import Store
from scraper_image.collect import Collector
from scraper_image.timeline import Timeline


class Settings(Environment):
    """The variables of the collecting job."""

    account: str
    # A user name, without @.
    handle: str = Field(pattern=r"^[A-Za-z0-9_]{1,15}$")
    data_bucket: str
    x_bearer_secret: str
    reads_usd_per_month: Decimal = Field(ge=0)


def main() -> int:
    """Collect once; returns 0 if everything that X has is collected, else 1."""
    try:
        settings = Settings.read()
    except UserError as error:
        log("ERROR", str(error))
        return 1
    account = settings.account
    try:
        _collect(settings)
    except LimitReached as error:
        log(
            "ERROR",
            f"{account}: {error}",
            event=events.SPEND_LIMIT,
            account=account,
            bucket=settings.data_bucket,
        )
        return 1
    except PipelineError as error:
        log("ERROR", f"{account}: {error}", account=account)
        return 1
    return 0


def _collect(settings: Settings) -> None:
    account, handle = settings.account, settings.handle
    bearer = x.required(
        secrets.latest(settings.x_bearer_secret),
        "X bearer token",
        "bots credentials --bearer",
    )
    store = Store.open(settings.data_bucket)
    ledger = Ledger(store, layout.reads(account), settings.reads_usd_per_month, clock.now)
    before = ledger.spent().total
    timeline = Timeline(x.client(bearer))
    index = Collector(store, account, handle, timeline, ledger).collect()
    last_collection.record(store, account, clock.now())
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


if __name__ == "__main__":
    sys.exit(main())
