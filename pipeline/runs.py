"""Training runs: what a scheduled one is to do, and how each machine's part and the whole ended."""

from datetime import datetime
from typing import Literal, TypeVar

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


class RunAccounts(BaseModel):
    """What a scheduled run trains; written once, before its first machine is made.

    `deadline` is when its machines are deleted at the latest.
    """

    model_config = ConfigDict(frozen=True)

    accounts: list[str]
    deadline: datetime


class RunVerdict(BaseModel):
    """How a scheduled run ended as a whole; it succeeded if there are no problems."""

    model_config = ConfigDict(frozen=True)

    ended: datetime
    problems: list[str]


_T = TypeVar("_T", bound=BaseModel)


def read_result(store: Store, run: str) -> RunResult | None:
    """How a machine's part of a run ended; None while it has not."""
    return _read(store, layout.run_result(run), RunResult)


def write_result(store: Store, result: RunResult) -> None:
    """Raises Changed if the run has a result already."""
    _write(store, layout.run_result(result.run), result)


def read_accounts(store: Store, run: str) -> RunAccounts | None:
    """What a scheduled run trains; None for a run by hand, which trains all accounts."""
    return _read(store, layout.run_accounts(run), RunAccounts)


def write_accounts(store: Store, run: str, accounts: RunAccounts) -> None:
    """Raises Changed if the run has begun already."""
    _write(store, layout.run_accounts(run), accounts)


def read_verdict(store: Store, run: str) -> RunVerdict | None:
    """How a scheduled run ended; None while it has not."""
    return _read(store, layout.run_verdict(run), RunVerdict)


def write_verdict(store: Store, run: str, verdict: RunVerdict) -> None:
    """Raises Changed if the run has a verdict already."""
    _write(store, layout.run_verdict(run), verdict)


def _read(store: Store, name: str, model: type[_T]) -> _T | None:
    found = store.read(name)
    if found is None:
        return None
    try:
        return model.model_validate_json(found.data)
    except ValidationError as error:
        raise UserError(
            f"object {name} is not of a training run: {error.errors()[0]['msg']}; "
            "restore its last version"
        ) from error


def _write(store: Store, name: str, document: BaseModel) -> None:
    store.write(name, document.model_dump_json().encode(), generation=0)
