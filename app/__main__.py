"""The app's commands: `post` posts for the current slot, `serve` is an HTTP API, `self-test` tests.

PostSettings and ServeSettings describe the environment. `post` and `self-test` load the model from
`model/` in the working folder. The app base, an image without that folder, logs that and posts
nothing. `serve` loads its model from the models bucket.
"""

import sys
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from pydantic import Field

from app.compose import Composer, NothingFit
from app.post import Poster
from app.send import sender
from pipeline import clock, layout, secrets, slots
from pipeline.environment import Environment
from pipeline.errors import PipelineError, UserError
from pipeline.generation import Model
from pipeline.log import log
from pipeline.objections import Objections
from pipeline.slots import Slot
from pipeline.spend import Ledger
from pipeline.store import Store
from pipeline.x import Keys

MODEL = Path("model")


class PostSettings(Environment):
    """The variables of `post`. The image sets RELEASE, and Cloud Run sets CLOUD_RUN_EXECUTION."""

    account: str
    data_bucket: str
    schedule: str
    time_zone: str
    posts_usd_per_month: Decimal = Field(ge=0)
    task_timeout: int = Field(gt=0)  # seconds
    x_keys_secret: str
    release: str
    execution: str = Field(alias="CLOUD_RUN_EXECUTION", default="by-hand")


class ServeSettings(Environment):
    """The variables of `serve`. Cloud Run sets PORT."""

    account: str
    models_bucket: str
    port: int = Field(default=8080, ge=0, le=65535)
    # Cloud Run needs a program that listens on all addresses. The local cloud sets one address.
    address: str = Field(alias="LISTEN", default="")


def main() -> int:
    """Run the command that the arguments name; returns the exit status."""
    commands = {"post": post, "serve": serve, "self-test": self_test}
    command = commands.get(" ".join(sys.argv[1:]))
    if command is None:
        log("ERROR", f"usage: python -m app {{{'|'.join(commands)}}}")
        return 2
    try:
        return command()
    except PipelineError as error:
        log("ERROR", str(error))
        return 1


def post() -> int:
    """Write and post one text for the schedule's latest tick, unless that has its post already."""
    if not MODEL.is_dir():
        log("INFO", f"there is no model in {MODEL.resolve()} yet: nothing is posted")
        return 0
    settings = PostSettings.read()
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
    """Log the slot's state; returns 1 if this execution left the slot without a post."""
    message = {
        "claimed": f"execution {record.execution} has it until {record.expires:%H:%M:%S} UTC",
        "intended": f"execution {record.execution} has it until {record.expires:%H:%M:%S} UTC",
        "refused": f"not posted, the next execution tries again: {record.reason}",
        "posted": f"posted{'' if mine else ' already'}: {record.text}",
        "unknown": f"X may have the post; no execution tries again: {record.reason}",
        "nothing": f"nothing posted: {record.reason}",
    }[record.state]
    succeeded = record.state in ("posted", "nothing") or record.execution != execution
    log(
        "INFO" if succeeded else "ERROR",
        f"slot {slot}: {message}",
        slot=slot,
        state=record.state,
        id=record.id,
        in_doubt=record.in_doubt,
        release=record.release,
    )
    return 0 if succeeded else 1


def serve() -> int:
    """Answer requests for texts until a signal stops the program."""
    from app.live import Live
    from app.serve import Server, run

    settings = ServeSettings.read()
    live = Live(settings.account, Store.open(settings.models_bucket), clock.now)
    return run(Server(settings.port, live, settings.address))


def self_test() -> int:
    """Check that the model of `post` can be loaded and writes a text that may be posted."""
    try:
        text = load_composer().compose([])
    except NothingFit as error:
        raise UserError(f"the model in {MODEL.resolve()} is not usable: {error}") from None
    log("INFO", f"the model works; it wrote: {text}")
    return 0


def load_composer() -> Composer:
    """Load the model in MODEL, and its objections."""
    objections = Objections.load(MODEL)
    return Composer(Model(MODEL).candidates, objections)


if __name__ == "__main__":
    sys.exit(main())
