"""Posts one text per slot: at most once always, and once unless X's response is lost for good.

The record of a slot is one object, and it changes by compare-and-set alone. Of two executions that
write at the same time, one fails and stops.

    claimed ──► intended ──► posted    X has the post
       │           ├───────► unknown   X may have the post; nothing posts for this slot again
       │           └───────► refused   X refused; the next execution continues with the same text
       ├───────────────────► refused   the month's limit is reached; the next one starts over
       └───────────────────► nothing   no text may be posted

A claim expires later than the platform lets a task live. Another execution may take it over then
and not before, with two exceptions. A `refused` slot was given back. A `claimed` slot of the same
execution was left by an earlier attempt, which died before it had a text. From the intent on the
text never changes, whichever execution continues: not after a refusal, and not when the text may
have been sent.

X has no idempotency key. It does refuse a text that the account has just posted, but it does not
promise to, and it does so less reliably the older the post is. So little depends on it:
- If no usable response comes (a timeout, a 5xx, nonsense), the same text is sent twice more within
  half a minute. "Duplicate" then means that an earlier request arrived.
- If none of these gets a response, the slot is `unknown`, which is final. If an execution died
  between its intent and its result, the text may have been sent or not; one takeover sends it
  again.
- Any other refusal (keys, credits, rate, ban) says nothing about earlier requests. The slot is
  given back; if an earlier request is in doubt, the record says so.
- "Duplicate" for a text that was never sent means that the account has it from elsewhere. Another
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
from pipeline.slots import Slot
from pipeline.spend import POST_CREATE, Ledger, LimitReached
from pipeline.store import PreconditionFailed, Store
from pipeline.x import XError

# A claim outlives its task by this much, since clocks differ and a kill takes time.
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
        """Post for the slot if it is free, and return its record; see the module.

        `compose` takes the account's earlier texts and returns a new one, or raises NothingFit. If
        another execution has the slot or was faster, the returned record is that execution's.
        """
        found = slots.read(self.store, self.account, slot)
        record, generation = found or (None, 0)
        if record is not None and not self._may_take(record):
            return record
        try:
            turn = _Turn(self, slot, self._claim(record), generation)
            if turn.record.state == "claimed":
                turn.decide(release, compose)
            if turn.record.state == "intended":
                turn.send()
        except PreconditionFailed:
            return self._winner(slot)
        return turn.record

    def _may_take(self, record: Slot) -> bool:
        if record.state in ("posted", "unknown", "nothing"):
            return False
        return (
            record.state == "refused"
            or (record.state == "claimed" and record.execution == self.execution)
            or record.expires <= self.clock()
        )

    def _claim(self, found: Slot | None) -> Slot:
        now = self.clock()
        claim = Slot(
            state="intended" if found is not None and found.state == "intended" else "claimed",
            execution=self.execution,
            nonce=self.nonce,
            at=now,
            expires=now + self.task_timeout + _MARGIN,
            text=found and found.text,
            release=found and found.release,
            in_doubt=found is not None and (found.in_doubt or found.state == "intended"),
        )
        if found is None:
            return claim
        # Keys of a newer program stay.
        return found.model_copy(update=claim.model_dump(exclude={"version"}))

    def _winner(self, slot: str) -> Slot:
        found = slots.read(self.store, self.account, slot)
        if found is None:
            raise UserError(
                f"object {layout.slot(self.account, slot)} was deleted while execution"
                f" {self.execution} had it; whether it posted is not known"
            )
        return found.document


class _Turn:
    """The record while this attempt has it; methods raise PreconditionFailed once it has not."""

    def __init__(self, poster: Poster, slot: str, claim: Slot, generation: int) -> None:
        self._poster = poster
        self._slot = slot
        self.record = claim
        self._generation = generation
        self._move()

    def decide(self, release: str, compose: Callable[[Collection[str]], str]) -> None:
        """Choose a text and reserve its price: intended, nothing, or refused by the limit."""
        chosen: dict[str, str] = {}
        if self.record.text is None:
            try:
                posted = history.texts(self._poster.store, self._poster.account)
                chosen = {"text": compose(posted), "release": release}
            except NothingFit as error:
                self._move(state="nothing", reason=str(error))
                return
        try:
            self._poster.ledger.reserve(POST_CREATE)
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
            self._poster.ledger.give_back(POST_CREATE)

    def _move(self, **changes: Any) -> None:
        """Write the record with these changes, in place of the one that this attempt wrote."""
        poster = self._poster
        record = self.record.model_copy(update={**changes, "at": poster.clock()})
        self._generation = slots.write(
            poster.store, poster.account, self._slot, record, generation=self._generation
        )
        self.record = record
