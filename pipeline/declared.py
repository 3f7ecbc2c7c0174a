"""What the stack file says of an account, for programs that do not read the stack file."""

from pipeline import documents, layout
from pipeline.documents import Document
from pipeline.store import Store


class Declared(Document):
    """One account; the Pulumi program writes this. A schedule is None if the account has none."""

    time_zone: str
    collect: str | None
    post: str | None


def read(store: Store, account: str) -> Declared | None:
    """What the stack file says of an account; None if the account was removed."""
    return documents.load(store, layout.declared(account), Declared)
