"""What stops collecting until a person or the next month mends it: a state, and no failure.

A retry of the job does not help, so the job succeeds. A state is told once, when it begins.
"""

from pipeline import events, last_collection
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.index import SomebodyElses
from pipeline.log import log
from pipeline.spend import LimitReached
from pipeline.store import Store
from pipeline.x import Kind, NotSet, XRefused

_OF_X: dict[Kind, str] = {
    "credentials": "keys refused",
    "credits": "no credits",
    "cap": "cap used up",
    "forbidden": "closed",
    "not-found": "no such user",
}


def name(error: PipelineError) -> str | None:
    """The name of the state that an error shows; None if it shows a failure."""
    if isinstance(error, LimitReached):
        return "limit reached"
    if isinstance(error, NotSet):
        return "waiting for keys"
    if isinstance(error, SomebodyElses):
        return "somebody else's tweets"
    if isinstance(error, XRefused):
        return _OF_X.get(error.kind)
    return None


def tell(store: Store, account: str, error: PipelineError, clock: Clock) -> None:
    """Record the state, and log it: as an event when it begins, and quietly at later ticks.

    An error that shows a failure is raised again.
    """
    state = name(error)
    if state is None:
        raise error
    begins = last_collection.stopped(store, account, state, str(error), clock())
    told = {"event": events.SPEND_LIMIT if state == "limit reached" else events.STOPPED}
    log(
        "ERROR" if begins else "INFO",
        f"{account}: {state}{'' if begins else ', as before'}: {error}",
        account=account,
        state=state,
        bucket=store.bucket_name,
        **(told if begins else {}),
    )
