"""What the stack file says of an account, for programs that do not read the stack file."""

from pydantic import Field

from pipeline import documents, layout
from pipeline.documents import Document
from pipeline.learn import StoredLearn
from pipeline.store import Store


class Declared(Document):
    """One account; the Pulumi program writes this. A schedule is None if the account has none."""

    version: int = 2
    time_zone: str
    collect: str | None
    post: str | None
    learn: StoredLearn = Field(
        default=StoredLearn(), description="what of its tweets is learnt; the defaults before that"
    )


def read(store: Store, account: str) -> Declared | None:
    """What the stack file says of an account; None if the account was removed."""
    return documents.load(store, layout.declared(account), Declared)
