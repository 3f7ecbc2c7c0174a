"""How a training run ended, for each account: the document that marks the run as done."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline import layout
from pipeline.errors import UserError
from pipeline.store import Store


class Outcome(BaseModel):
    """What became of one account.

    live: a new release is live. passed: it passed the gate, but another went live meanwhile.
    refused: by the gate, or, with no release, for too few tweets. skipped: too little was new.
    busy: another run is training the account. failed: see the reason.
    """

    model_config = ConfigDict(frozen=True)

    outcome: Literal["live", "passed", "refused", "skipped", "busy", "failed"]
    release: str | None = None
    reason: str = ""


class RunResult(BaseModel):
    """All of a run; written once, at its end, and never for one that was interrupted."""

    model_config = ConfigDict(frozen=True)

    run: str
    started: datetime
    finished: datetime
    accounts: dict[str, Outcome]


def read_result(store: Store, run: str) -> RunResult | None:
    """How the run ended; None while it has not."""
    found = store.read(layout.run_result(run))
    if found is None:
        return None
    try:
        return RunResult.model_validate_json(found.data)
    except ValidationError as error:
        raise UserError(
            f"object {found.name} is no result of a run: {error.errors()[0]['msg']}; "
            "restore its last version"
        ) from error


def write_result(store: Store, result: RunResult) -> None:
    """Raises Changed if the run has a result already."""
    data = result.model_dump_json().encode()
    store.write(layout.run_result(result.run), data, generation=0)
