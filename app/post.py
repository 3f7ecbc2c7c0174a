"""Posts one text per slot: at most once always, once unless X's answer is lost for good.

A slot's record is one object that changes by compare-and-set alone, so that of two executions
one loses and stops:

    claimed ──► intended ──► posted    X has it
       │           ├───────► unknown   X may have it: nobody posts for this slot again
       │           └───────► refused   X said no: the next execution goes on with the same text
       ├───────────────────► refused   the month's money is spent: the next one begins again
       └───────────────────► nothing   no text was fit to be posted

A claim says until when it is its writer's: longer than the platform lets a task live. After
that, and not before, another execution may take it over; there are two that need not wait:
`refused` was given back, and `claimed` was written by the same execution, whose earlier attempt
died before there was a text. From the intent on the text never changes, whoever goes on: not
where X refused it, and not where it may have been sent already.

X has no idempotency key. What stands in for one is that it refuses a text that the account has
just posted. That is a habit and no promise, and the older the post the weaker it is, so as little
as possible rests on it:
- Without an answer (a timeout, a 5xx, nonsense after the request went out) the same text is sent
  twice more, within half a minute. "Duplicate" then means that an earlier one arrived.
- Still without an answer it is `unknown`, and final. An execution that died between its intent
  and its result has left the same doubt, but may also never have sent anything; there one
  takeover sends the text again.
- Any other refusal (keys, credits, rate, ban) answers for its own request only. It gives the slot
  back; where an earlier request is in doubt, the record says so.
- "Duplicate" to a text that was never sent before means that the account has it from elsewhere.
  To try another could be the second post of the slot, so this counts as posted too.

Money is reserved before the intent, and given back after a refusal: a crash in between leaves
the ledger too high, never too low.
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
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.slots import Slot
from pipeline.spend import POST_CREATE, Ledger, LimitReached
from pipeline.store import Changed, Store
from pipeline.x import XError

# How much longer than the task a claim lives: for clocks that differ and for a slow kill.
_MARGIN = timedelta(minutes=2)
# Seconds to wait before the text is sent, and sent again where X gave no answer.
_WAITS = (0.0, 5.0, 20.0)
_NO_ANSWER = frozenset({"unavailable", "nonsense"})


@dataclass(frozen=True)
class Poster:
    """What one attempt of an execution posts with."""

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
        """Bring the slot to its end if it is free, and return its record; see the module.

        `compose` is given the account's history and returns the text, or raises NothingFit. The
        record is another execution's where that one has the slot or was faster.
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
        except Changed:
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
        return Slot(
            state="intended" if found is not None and found.state == "intended" else "claimed",
            execution=self.execution,
            nonce=self.nonce,
            at=now,
            expires=now + self.task_timeout + _MARGIN,
            text=found and found.text,
            release=found and found.release,
            in_doubt=found is not None and (found.in_doubt or found.state == "intended"),
        )

    def _winner(self, slot: str) -> Slot:
        found = slots.read(self.store, self.account, slot)
        if found is None:
            raise UserError(
                f"object {layout.slot(self.account, slot)} was deleted while execution"
                f" {self.execution} had it; whether it posted is not known"
            )
        return found[0]


class _Turn:
    """The record while it is this attempt's; every method raises Changed where it no longer is."""

    def __init__(self, poster: Poster, slot: str, claim: Slot, generation: int) -> None:
        self._poster = poster
        self._slot = slot
        self.record = claim
        self._generation = generation
        self._move()

    def decide(self, release: str, compose: Callable[[Collection[str]], str]) -> None:
        """Settle on a text and pay for it: intended, or nothing, or refused by the limit."""
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
        """Post the text and record X's answer."""
        assert self.record.text is not None
        history.remember(self._poster.store, self._poster.account, self._slot, self.record.text)
        in_doubt = self.record.in_doubt
        refusal: UserError | None = None
        silence = ""
        for wait in _WAITS:
            self._poster.sleep(wait)
            try:
                posted = self._poster.send(self.record.text)
            except Unreached as error:
                refusal = error
            except XError as error:
                if error.kind == "duplicate":
                    self._move(state="posted", reason=f"its id is not known: {error}")
                    return
                if error.kind not in _NO_ANSWER:
                    refusal = error
                    break
                in_doubt, refusal, silence = True, None, str(error)
            else:
                self._move(state="posted", id=posted)
                return
        if refusal is None:
            self._move(state="unknown", reason=silence, in_doubt=True)
            return
        self._move(state="refused", reason=str(refusal), in_doubt=in_doubt)
        if not in_doubt:
            self._poster.ledger.give_back(POST_CREATE)

    def _move(self, **changes: Any) -> None:
        """Write the record with these changes, which nobody else can have made meanwhile."""
        poster = self._poster
        record = self.record.model_copy(update={**changes, "at": poster.clock()})
        self._generation = slots.write(
            poster.store, poster.account, self._slot, record, generation=self._generation
        )
        self.record = record
