"""Posts one text per slot, at most once.

A slot may end without a post, because no text may be posted, or because X's response was lost and
nobody can know whether X has the post.

The record of a slot is one object, and it changes by compare-and-set only. If two executions write
at the same time, one of them fails and stops.

    claimed ──► intended ──► posted    X has the post
       │           ├───────► unknown   X may have the post; nothing posts for this slot again
       │           └───────► refused   X refused; the next execution continues with the same text
       ├───────────────────► refused   the month's limit is reached; the next one starts over
       └───────────────────► nothing   no text may be posted

A claim expires after the platform has ended the task. Only then may another execution take the slot
over, with two exceptions: a `refused` slot, which was given back, and a `claimed` slot of the same
execution, which an earlier attempt left when it died before it had a text. The text never changes
after the intent, whichever execution continues and whether or not the text was sent.

X has no idempotency key. It refuses a text that the account has just posted, but does not promise
to, and does so less reliably the older the post is. So little depends on it:

- If no usable response comes (a timeout, a 5xx, nonsense), the same text is sent twice more within
  half a minute. "Duplicate" then means that an earlier request arrived.
- If none of these gets a response, the slot is `unknown`, which is final. If an execution died
  between its intent and its result, the text may have been sent or not; one takeover sends it
  again.
- Any other refusal (keys, credits, rate, ban) says nothing about earlier requests. The slot is
  given back; if an earlier request is in doubt, the record says so.
- "Duplicate" for a text that was never sent means that the account got it from elsewhere. Another
  text could be the second post of the slot, so the slot counts as posted.

Money is reserved before the intent and given back after a refusal. A crash in between leaves the
ledger too high, never too low.
"""

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app.compose import NothingFit
from app.send import Unreached
from pipeline import events, history, layout, slots
from pipeline.clock import Clock
from pipeline.errors import PipelineError, UserError
from pipeline.log import log
from pipeline.prices import POST_CREATE
from pipeline.slots import Slot
from pipeline.spend import Ledger, LimitReached, Reservation
from pipeline.store import PreconditionFailed, Store
from pipeline.x import XError

# A claim outlives its task by this time, because clocks differ and ending a task takes time.
_MARGIN = timedelta(minutes=2)
# Seconds to wait before the first request, and before each repetition after a lost response.
_WAITS = (0.0, 5.0, 20.0)
_NO_RESPONSE = frozenset({"unavailable", "nonsense"})


@dataclass(frozen=True)
class Poster:
    """One attempt of an execution."""

    account: str
    store: Store
    ledger: Ledger
    send: Callable[[str], str]
    """Posts a text on X and returns the post's id; raises XError, and Unreached."""
    execution: str
    task_timeout: timedelta
    clock: Clock
    sleep: Callable[[float], None]
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))

    def post(self, slot: str, release: str, compose: Callable[[Collection[str]], str]) -> Slot:
        """Post for the slot if it is free, and return its record.

        `compose` takes the digests of the account's earlier texts (`pipeline.history`), and returns
        a new text or raises NothingFit. If another execution has the slot or was faster, the
        returned record is that execution's.
        """
        record, generation = slots.read(self.store, self.account, slot) or (None, 0)
        if record is not None and not self._may_take(record):
            return record
        try:
            claimed = _ClaimedSlot(self, slot, self._claim(record), generation)
            if claimed.record.state == "claimed":
                claimed.decide(release, compose)
            if claimed.record.state == "intended":
                claimed.send()
        except PreconditionFailed:
            return self._winner(slot)
        return claimed.record

    def _may_take(self, record: Slot) -> bool:
        if record.state in ("posted", "unknown", "nothing"):
            return False
        return (
            record.state == "refused"
            or (record.state == "claimed" and record.execution == self.execution)
            or record.expires <= self.clock()
        )

    def _claim(self, record: Slot | None) -> Slot:
        now = self.clock()
        claim = Slot(
            state="intended" if record is not None and record.state == "intended" else "claimed",
            execution=self.execution,
            nonce=self.nonce,
            at=now,
            expires=now + self.task_timeout + _MARGIN,
            text=record and record.text,
            release=record and record.release,
            in_doubt=record is not None and (record.in_doubt or record.state == "intended"),
        )
        if record is None:
            return claim
        # This keeps the keys of a newer program.
        return record.model_copy(update=claim.model_dump(exclude={"version"}))

    def _winner(self, slot: str) -> Slot:
        current = slots.read(self.store, self.account, slot)
        if current is None:
            raise UserError(
                f"object {layout.slot(self.account, slot)} was deleted while execution"
                f" {self.execution} had it; whether it posted is not known"
            )
        return current.document


class _ClaimedSlot:
    """A slot that this attempt has claimed.

    Methods raise PreconditionFailed if another execution has taken it over.
    """

    def __init__(self, poster: Poster, slot: str, claim: Slot, generation: int) -> None:
        self._poster = poster
        self._slot = slot
        self.record = claim
        self._generation = generation
        # An earlier attempt may have made the reservation. That was not before the slot's tick.
        self._reserved = Reservation(month=f"{slot[:4]}-{slot[4:6]}")
        self._move()

    def decide(self, release: str, compose: Callable[[Collection[str]], str]) -> None:
        """Choose a text and reserve its price. The next state is intended, nothing or refused."""
        chosen: dict[str, str] = {}
        if self.record.text is None:
            try:
                posted = history.digests(self._poster.store, self._poster.account)
                chosen = {"text": compose(posted), "release": release}
            except NothingFit as error:
                self._move(state="nothing", reason=str(error))
                return
        try:
            self._reserved = self._poster.ledger.reserve(POST_CREATE)
        except LimitReached as error:
            log(
                "ERROR",
                str(error),
                event=events.SPEND_LIMIT,
                account=self._poster.account,
                bucket=self._poster.store.bucket_name,
            )
            self._move(state="refused", reason=str(error))
            return
        self._move(state="intended", **chosen)

    def send(self) -> None:
        """Post the text and record X's response."""
        assert self.record.text is not None
        history.remember(self._poster.store, self._poster.account, self._slot, self.record.text)
        in_doubt = self.record.in_doubt
        refusal: PipelineError | None = None
        lost_because = ""
        for wait in _WAITS:
            self._poster.sleep(wait)
            try:
                posted = self._poster.send(self.record.text)
            except Unreached as error:
                refusal = error
            except XError as error:
                if error.kind == "duplicate":
                    self._move(state="posted", reason=f"its id is unknown: {error}")
                    return
                if error.kind not in _NO_RESPONSE:
                    refusal = error
                    break
                in_doubt, refusal, lost_because = True, None, str(error)
            else:
                self._move(state="posted", id=posted)
                return
        if refusal is None:
            self._move(state="unknown", reason=lost_because, in_doubt=True)
            return
        self._move(state="refused", reason=str(refusal), in_doubt=in_doubt)
        if not in_doubt:
            self._poster.ledger.give_back(POST_CREATE, 1, self._reserved)

    def _move(self, **changes: Any) -> None:
        """Replace the record that this attempt wrote by one with these changes."""
        poster = self._poster
        record = self.record.model_copy(update={**changes, "at": poster.clock()})
        self._generation = slots.write(
            poster.store, poster.account, self._slot, record, generation=self._generation
        )
        self.record = record
