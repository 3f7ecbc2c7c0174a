"""The documents of a training run: its accounts, each machine's result, and its verdict."""

from datetime import datetime
from typing import Literal

from pipeline import documents, layout
from pipeline.documents import Document, Part
from pipeline.store import Store


class Outcome(Part):
    """How the training of one account ended.

    live: a new release is live. passed: it passed the gate, but another went live meanwhile.
    refused: the gate refused it; without a release, there were too few tweets. skipped: not
    enough news.
    busy: another run is training the account. failed: see the reason.
    """

    outcome: Literal["live", "passed", "refused", "skipped", "busy", "failed"]
    release: str | None = None
    reason: str = ""


class RunResult(Document):
    """How one machine's part of a run ended.

    It is written once, at the end, and never for a machine that was interrupted.
    """

    run: str
    started: datetime
    finished: datetime
    accounts: dict[str, Outcome]


class RunAccounts(Document):
    """The accounts of a scheduled run; written once, before its first machine is made.

    `deadline` is when its machines are deleted at the latest.
    """

    accounts: list[str]
    deadline: datetime


class RunVerdict(Document):
    """How a scheduled run ended as a whole; it succeeded if there are no problems."""

    ended: datetime
    problems: list[str]


def read_result(store: Store, run: str) -> RunResult | None:
    """How a machine's part of a run ended; None while it has not."""
    return documents.load(store, layout.run_result(run), RunResult)


def write_result(store: Store, result: RunResult) -> None:
    """Raises PreconditionFailed if the run has a result already."""
    documents.write(store, layout.run_result(result.run), result, generation=0)


def read_accounts(store: Store, run: str) -> RunAccounts | None:
    """The accounts of a scheduled run; None for a run by hand, which trains all accounts."""
    return documents.load(store, layout.run_accounts(run), RunAccounts)


def write_accounts(store: Store, run: str, accounts: RunAccounts) -> None:
    """Raises PreconditionFailed if the run has begun already."""
    documents.write(store, layout.run_accounts(run), accounts, generation=0)


def read_verdict(store: Store, run: str) -> RunVerdict | None:
    """How a scheduled run ended; None while it has not."""
    return documents.load(store, layout.run_verdict(run), RunVerdict)


def write_verdict(store: Store, run: str, verdict: RunVerdict) -> None:
    """Raises PreconditionFailed if the run has a verdict already."""
    documents.write(store, layout.run_verdict(run), verdict, generation=0)
