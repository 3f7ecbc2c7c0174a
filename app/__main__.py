"""The app's commands: `post` posts for the current slot, `serve` is an HTTP API, `self-test` tests.

Environment: see Settings and ServeSettings. The model of `post` and `self-test` lies
in `model/` of the working folder; an image without one is the bare app, which says so and posts
nothing. `serve` takes its model from the models bucket.
"""

import sys
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from pydantic import Field

from app.compose import Composer, NothingFit
from app.filters import Filters, unsafe_words
from app.generate import Model
from app.live import Live
from app.post import Poster
from app.send import sender
from app.serve import Server, run
from pipeline import clock, layout, novelty, secrets, slots
from pipeline.environment import Environment
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.novelty import NoveltyIndex
from pipeline.slots import Slot
from pipeline.spend import Ledger
from pipeline.store import Store
from pipeline.x import Keys

MODEL = Path("model")


class Settings(Environment):
    """What the job's environment says; RELEASE comes from the image, the last two from Run."""

    account: str = Field(alias="ACCOUNT", min_length=1)
    data_bucket: str = Field(alias="DATA_BUCKET", min_length=1)
    schedule: str = Field(alias="SCHEDULE", min_length=1)
    time_zone: str = Field(alias="TIME_ZONE", min_length=1)
    posts_usd_per_month: Decimal = Field(alias="POSTS_USD_PER_MONTH", ge=0)
    task_timeout: int = Field(alias="TASK_TIMEOUT", gt=0, description="in seconds")
    x_keys_secret: str = Field(alias="X_KEYS_SECRET", min_length=1)
    release: str = Field(alias="RELEASE", min_length=1)
    execution: str = Field(alias="CLOUD_RUN_EXECUTION", default="by-hand")


class ServeSettings(Environment):
    """What the service's environment says; PORT comes from Run."""

    account: str = Field(alias="ACCOUNT", min_length=1)
    models_bucket: str = Field(alias="MODELS_BUCKET", min_length=1)
    port: int = Field(alias="PORT", default=8080, ge=0, le=65535)
    # Run wants all addresses; the local cloud says that its own are enough.
    address: str = Field(alias="LISTEN", default="")


def main() -> int:
    """Run the command that the arguments name and return the exit status."""
    commands = {"post": post, "serve": serve, "self-test": self_test}
    command = commands.get(" ".join(sys.argv[1:]))
    if command is None:
        log("ERROR", f"usage: python -m app {{{'|'.join(commands)}}}")
        return 2
    try:
        return command()
    except UserError as error:
        log("ERROR", str(error))
        return 1


def post() -> int:
    """Write and post one text for the schedule's latest tick, unless that has been done."""
    if not MODEL.is_dir():
        log("INFO", f"there is no model in {MODEL.resolve()} yet: nothing is posted")
        return 0
    settings = Settings.read()
    keys = Keys.parse(secrets.latest(settings.x_keys_secret))
    composer = load_composer()
    store = Store.open(settings.data_bucket)
    poster = Poster(
        account=settings.account,
        store=store,
        ledger=Ledger(
            store, layout.spent(settings.account), settings.posts_usd_per_month, clock.now
        ),
        send=sender(keys),
        execution=settings.execution,
        task_timeout=timedelta(seconds=settings.task_timeout),
        clock=clock.now,
        sleep=time.sleep,
    )
    slot = slots.name(slots.latest(settings.schedule, settings.time_zone, clock.now()))
    record = poster.post(slot, settings.release, composer.compose)
    return report(slot, record, mine=record.nonce == poster.nonce, execution=settings.execution)


def report(slot: str, record: Slot, *, mine: bool, execution: str) -> int:
    """Say what became of the slot; 1 where this execution left it without a post."""
    what = {
        "claimed": f"execution {record.execution} has it until {record.expires:%H:%M:%S} UTC",
        "intended": f"execution {record.execution} has it until {record.expires:%H:%M:%S} UTC",
        "refused": f"given back to the next execution: {record.reason}",
        "posted": f"posted{'' if mine else ' already'}: {record.text}",
        "unknown": f"posted or not, nobody knows, and nobody tries again: {record.reason}",
        "nothing": f"nothing posted: {record.reason}",
    }[record.state]
    fine = record.state in ("posted", "nothing") or record.execution != execution
    log(
        "INFO" if fine else "ERROR",
        f"slot {slot}: {what}",
        slot=slot,
        state=record.state,
        id=record.id,
        in_doubt=record.in_doubt,
        release=record.release,
    )
    return 0 if fine else 1


def serve() -> int:
    """Answer requests for texts until told to stop."""
    settings = ServeSettings.read()
    live = Live(settings.account, Store.open(settings.models_bucket), clock.now)
    return run(Server(settings.port, live, settings.address))


def self_test() -> int:
    """Load the model as `post` does and see that it writes something that may be posted."""
    try:
        text = load_composer().compose([])
    except NothingFit as error:
        raise UserError(f"the model in {MODEL.resolve()} does not do: {error}") from None
    log("INFO", f"the model works; it wrote: {text}")
    return 0


def load_composer() -> Composer:
    """What writes texts with the model in MODEL and sorts them out."""
    filters = Filters(NoveltyIndex.load(MODEL / novelty.FILE), unsafe_words())
    return Composer(Model(MODEL).candidates, filters)


if __name__ == "__main__":
    sys.exit(main())
