"""Who is training an account: an object that says so until it expires."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta

from pydantic import BaseModel, ValidationError

from pipeline import layout
from pipeline.clock import Clock
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.store import Changed, Store

LENGTH = timedelta(minutes=30)


class Busy(UserError):
    """Another run is training the account."""


class _Terms(BaseModel):
    holder: str
    expires: datetime


class Lease:
    """A lease that is held; what goes on for longer than LENGTH renews it."""

    def __init__(self, store: Store, account: str, run: str, clock: Clock) -> None:
        """Take the lease; raise Busy while another run holds it.

        The same run may take it again: its first machine is gone, or it would not be asking.
        """
        self._store, self._run, self._clock = store, run, clock
        self._name = layout.lease(account)
        found = store.read(self._name)
        terms = _terms(found.data) if found else None
        if terms and terms.holder != run and terms.expires > clock():
            raise Busy(f"run {terms.holder} is training {account} until {terms.expires:%H:%M} UTC")
        self._generation = found.generation if found else 0
        self._write(LENGTH)

    def renew(self) -> None:
        """Extend the lease once half of it has passed; raise Busy if another run has it."""
        if self._expires - self._clock() < LENGTH / 2:
            self._write(LENGTH)

    def release(self) -> None:
        """Let it end now."""
        self._write(timedelta())

    def _write(self, length: timedelta) -> None:
        self._expires = self._clock() + length
        data = _Terms(holder=self._run, expires=self._expires).model_dump_json().encode()
        try:
            self._generation = self._store.write(self._name, data, generation=self._generation)
        except Changed:
            raise Busy(f"another run has taken {self._name}") from None


@contextmanager
def held(store: Store, account: str, run: str, clock: Clock) -> Generator[Lease, None, None]:
    """The lease for as long as the block takes."""
    lease = Lease(store, account, run, clock)
    try:
        yield lease
    finally:
        try:
            lease.release()
        except UserError as error:  # it expires by itself; what happened in the block matters more
            log("WARNING", f"lease of {account} not released: {error}", account=account)


def _terms(data: bytes) -> _Terms | None:
    try:
        return _Terms.model_validate_json(data)
    except ValidationError:  # a lease that nobody can read binds nobody
        return None
