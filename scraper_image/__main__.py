"""Collects the timeline of one account, once."""

import signal
import sys
import time
from datetime import timedelta
from decimal import Decimal

from pydantic import Field

from pipeline import clock, last_collection, layout, prices, secrets, x
from pipeline.environment import Environment
from pipeline.errors import PipelineError, UserError
from pipeline.lease import Busy
from pipeline.log import log
from pipeline.spend import Ledger
from pipeline.store import Store
from pipeline.x import Keys
from scraper_image import state
from scraper_image.collect import Collector
from scraper_image.timeline import Timeline
from scraper_image.wait import Patience


class Settings(Environment):
    """The variables of the collecting job. Cloud Run sets CLOUD_RUN_EXECUTION."""

    account: str
    # A user name, without @.
    handle: str = Field(pattern=r"^[A-Za-z0-9_]{1,15}$")
    data_bucket: str
    x_bearer_secret: str
    # Set if the timeline is read with the account's own keys, in place of the bearer token.
    x_keys_secret: str | None = None
    reads_usd_per_month: Decimal = Field(ge=0)
    # The limit of all accounts of the project together, if there is one.
    stack_reads_usd_per_month: Decimal | None = Field(default=None, ge=0)
    task_timeout: int = Field(gt=0)  # seconds
    execution: str = Field(alias="CLOUD_RUN_EXECUTION", default="by-hand")


def main() -> int:
    """Collect once; returns 1 after a failure, and 0 if a known state stops collecting."""
    try:
        settings = Settings.read()
    except UserError as error:
        log("ERROR", str(error))
        return 1
    account = settings.account
    patience = Patience(
        clock.now() + timedelta(seconds=settings.task_timeout), clock.now, time.sleep
    )

    def end(*_: object) -> None:
        patience.end()

    signal.signal(signal.SIGTERM, end)
    try:
        store = Store.open(settings.data_bucket)
        try:
            _collect(settings, store, patience)
        except Busy as error:
            log("INFO", f"{account}: nothing to do: {error}", account=account)
        except PipelineError as error:
            state.tell(store, account, error, clock.now)
    except PipelineError as error:
        log("ERROR", f"{account}: {error}", account=account)
        return 1
    return 0


def _collect(settings: Settings, store: Store, patience: Patience) -> None:
    account, handle = settings.account, settings.handle
    ledger = _ledger(settings, store)
    timeline, price = _timeline(settings)
    before = ledger.spent().total
    index = Collector(
        store, account, handle, timeline, ledger, patience, settings.execution, price
    ).collect()
    last_collection.succeeded(store, account, clock.now())
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


def _ledger(settings: Settings, store: Store) -> Ledger:
    """The account's ledger, within the one of all accounts if that has a limit."""
    limit = settings.stack_reads_usd_per_month
    whole = None if limit is None else Ledger(store, layout.stack_reads(), limit, clock.now)
    name = layout.reads(settings.account)
    return Ledger(store, name, settings.reads_usd_per_month, clock.now, whole)


def _timeline(settings: Settings) -> tuple[Timeline, Decimal]:
    """X's timelines, and the price of one post."""
    if settings.x_keys_secret:
        keys = Keys.parse(secrets.latest(settings.x_keys_secret))
        return Timeline(x.poster(keys), keys_of=keys.user_id), prices.OWNED_POST_READ
    bearer = x.required(
        secrets.latest(settings.x_bearer_secret), "X bearer token", "bots credentials --bearer"
    )
    return Timeline(x.client(bearer)), prices.POST_READ


if __name__ == "__main__":
    sys.exit(main())
