"""A slot gets at most one post, and its record is true, whatever fails and whoever else runs.

The store is a fake-gcs-server and X is a double over HTTP; only the clock and the texts are made
up. Every text names its slot and its writer, so two texts in one slot would show.
"""

import itertools
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Event, Thread
from typing import Any

import pytest
from google.cloud import storage

from app import send
from app.compose import NothingFit
from app.post import Poster
from pipeline import events, history, layout, slots
from pipeline.errors import Unavailable
from pipeline.slots import Slot
from pipeline.spend import Ledger
from pipeline.store import Object, Store
from pipeline.x import Keys, XError
from tests.app.x_double import Fault, XDouble

SLOT = "20261123T0900Z"
RELEASE = "20261122T101500Z-0123abcd"
TIMEOUT = timedelta(minutes=10)
AFTER_EXPIRY = timedelta(minutes=13)
KEYS = Keys(api_key="a", api_secret="b", access_token="c", access_token_secret="d")


class Killed(BaseException):
    """The process is dead."""


class Gate:
    """Wraps every storage and X call of an execution, so that a test can act at the n-th call."""

    def __init__(self) -> None:
        self.calls = 0
        self.act: Callable[[int, str], None] = lambda _call, _when: None

    def around(self, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
        self.calls += 1
        number = self.calls
        self.act(number, "before")
        result = call(*args, **named)
        self.act(number, "after")
        return result


class GatedStore(Store):
    def __init__(self, bucket: storage.Bucket, gate: Gate) -> None:
        super().__init__(bucket, timeout=5)
        self._gate = gate

    def read(self, name: str) -> Object | None:
        return self._gate.around(super().read, name)

    def write(self, name: str, data: bytes, *, generation: int) -> int:
        return self._gate.around(super().write, name, data, generation=generation)


class World:
    """One data bucket, one X and one clock for any number of accounts and executions."""

    def __init__(self, bucket: storage.Bucket, x: XDouble) -> None:
        self.bucket = bucket
        self.store = Store(bucket, timeout=5)
        self.x = x
        self.now = datetime(2026, 11, 23, 9, 0, 2, tzinfo=UTC)
        self.slept: list[float] = []
        self.limit = Decimal(5)
        self.composed = itertools.count(1)
        self._accounts = itertools.count(1)
        self.account = ""
        self.new_account()

    def new_account(self) -> None:
        self.account = f"bot{next(self._accounts)}"
        self.x.faults.clear()

    def poster(self, execution: str = "one", gate: Gate | None = None) -> Poster:
        gate = gate or Gate()
        store = GatedStore(self.bucket, gate)
        post = send.sender(KEYS)
        return Poster(
            account=self.account,
            store=store,
            ledger=Ledger(store, layout.spent(self.account), self.limit, lambda: self.now),
            send=lambda text: gate.around(post, text),
            execution=execution,
            task_timeout=TIMEOUT,
            clock=lambda: self.now,
            sleep=self.slept.append,
        )

    def run(self, execution: str = "one", gate: Gate | None = None, slot: str = SLOT) -> Slot:
        return self.poster(execution, gate).post(slot, RELEASE, self.compose)

    def compose(self, history: Collection[str]) -> str:
        return f"{self.account} has this to say, number {next(self.composed)}"

    @property
    def on_x(self) -> list[str]:
        return [text for text in self.x.posts if text.startswith(f"{self.account} ")]

    @property
    def record(self) -> Slot | None:
        found = slots.read(self.store, self.account, SLOT)
        return found and found[0]

    @property
    def history(self) -> list[dict[str, str]]:
        found = self.store.read(layout.history(self.account))
        return json.loads(found.data)["entries"] if found else []

    @property
    def spent(self) -> Decimal:
        return (
            Ledger(self.store, layout.spent(self.account), self.limit, lambda: self.now).spent().usd
        )

    def assert_posted_once_and_recorded(self) -> None:
        record = self.record
        assert len(self.on_x) == 1
        assert record is not None
        assert record.state == "posted"
        assert record.text == self.on_x[0]
        assert record.id in (None, self.x.id_of(self.on_x[0]))
        assert record.id or record.reason
        assert {"slot": SLOT, "text": self.on_x[0]} in self.history
        assert self.spent >= Decimal("0.015")


@pytest.fixture
def world(bucket_factory: Callable[[], storage.Bucket], x: XDouble) -> World:
    return World(bucket_factory(), x)


def killed(when: str, number: int) -> Gate:
    """The process dies at the n-th call, before or after its effect."""

    def act(call: int, at: str) -> None:
        if call >= number and at == when:
            raise Killed

    gate = Gate()
    gate.act = act
    return gate


def failing(when: str, number: int) -> Gate:
    """The n-th call raises an error, before or after its effect."""

    def act(call: int, at: str) -> None:
        if call == number and at == when:
            raise Unavailable("bucket: no good answer")

    gate = Gate()
    gate.act = act
    return gate


FAULTS: dict[str, Callable[[int], Gate]] = {
    "killed before the effect": lambda n: killed("before", n),
    "killed after the effect": lambda n: killed("after", n),
    "refused": lambda n: failing("before", n),
    "response lost": lambda n: failing("after", n),
}


def every_call(fault: Callable[[int], Gate], world: World) -> Iterator[tuple[int, Gate]]:
    """A gate for each call of an undisturbed execution, each in a new account."""
    undisturbed = Gate()
    world.run(gate=undisturbed)
    assert undisturbed.calls > 8
    for number in range(1, undisturbed.calls + 1):
        world.new_account()
        yield number, fault(number)


class Paused:
    """An execution in a thread of its own, paused before its n-th call."""

    def __init__(self, world: World, execution: str, number: int) -> None:
        self._reached, self._go = Event(), Event()
        self._kill = False
        self.gate = Gate()
        self.gate.act = lambda call, when: (
            self._hold() if (call, when) == (number, "before") else None
        )
        self._world, self._execution = world, execution
        self.error: BaseException | None = None
        self._thread = Thread(target=self._run)
        self._thread.start()
        assert self._reached.wait(20)

    def _hold(self) -> None:
        self._reached.set()
        assert self._go.wait(20)
        if self._kill:
            raise Killed

    def _run(self) -> None:
        try:
            self._world.run(self._execution, self.gate)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001
            self.error = error
        finally:
            self._reached.set()

    def end(self, *, killed: bool = False) -> None:
        self._kill = killed
        self._go.set()
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


def test_a_free_slot_is_claimed_intended_posted_and_recorded(world: World) -> None:
    record = world.run()
    world.assert_posted_once_and_recorded()
    assert record == world.record
    assert (record.id, record.release, record.reason) == ("1000", RELEASE, "")
    assert world.history == [{"slot": SLOT, "text": record.text}]
    assert world.spent == Decimal("0.015")


def test_a_slot_is_posted_once_however_often_it_is_run(world: World) -> None:
    first = world.run("one")
    assert world.run("two") == first
    world.now += timedelta(days=1)
    assert world.run("three") == first
    world.assert_posted_once_and_recorded()


def test_the_next_slot_gets_a_post_of_its_own(world: World) -> None:
    world.run()
    world.run(slot="20261124T0900Z")
    assert len(world.on_x) == 2
    assert [post["slot"] for post in world.history] == [SLOT, "20261124T0900Z"]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_one_failure_at_any_call_never_makes_two_posts_and_never_loses_one(
    world: World, fault: Callable[[int], Gate]
) -> None:
    for _number, gate in every_call(fault, world):
        with pytest.raises((Killed, Unavailable)):
            world.run("one", gate)
        intent = world.record and world.record.text
        world.run("two")
        assert len(world.on_x) <= 1
        world.now += AFTER_EXPIRY
        world.run("three")
        world.assert_posted_once_and_recorded()
        assert intent in (None, world.on_x[0])


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_the_platforms_own_retry_continues_at_once_unless_a_post_may_be_under_way(
    world: World, fault: Callable[[int], Gate]
) -> None:
    for _number, gate in every_call(fault, world):
        with pytest.raises((Killed, Unavailable)):
            world.run("one", gate)
        before = world.record
        world.run("one")
        if before is not None and before.state == "intended":
            assert world.record == before
        else:
            world.assert_posted_once_and_recorded()


@pytest.mark.parametrize("second", FAULTS.values(), ids=FAULTS.keys())
def test_a_takeover_that_fails_too_makes_no_second_post(
    world: World, second: Callable[[int], Gate]
) -> None:
    for number in range(1, 9):  # a takeover of an intent makes fewer calls
        for first in (8, 9):  # about to post, and just posted
            world.new_account()
            with pytest.raises(Killed):
                world.run("one", killed("after", first))
            world.now += AFTER_EXPIRY
            with suppress(Killed, Unavailable):
                world.run("two", second(number))
            world.now += AFTER_EXPIRY
            world.run("three")
            world.assert_posted_once_and_recorded()


def interleavings(world: World) -> Iterator[tuple[int, int]]:
    undisturbed = Gate()
    world.run(gate=undisturbed)
    calls = range(1, undisturbed.calls + 1)
    for first, second in itertools.product(calls, calls):
        world.new_account()
        yield first, second


def test_a_takeover_keeps_unknown_keys(world: World) -> None:
    now = world.now
    old = Slot(state="refused", execution="old", nonce="n", at=now, expires=now, text="said")
    newer = old.model_copy(update={"version": 2, "mood": "good"})
    slots.write(world.store, world.account, SLOT, newer, generation=0)
    record = world.run()
    assert (record.state, record.version) == ("posted", 2)
    assert record.model_extra == {"mood": "good"}


@pytest.mark.parametrize("first_dies", [False, True])
def test_of_two_executions_at_once_one_posts_even_if_x_takes_duplicates(
    world: World, first_dies: bool
) -> None:
    """The claim alone ensures it: no response is lost, so X need not refuse anything."""
    world.x.refuses_duplicates = False
    for first, second in interleavings(world):
        one = Paused(world, "one", first)
        two = Paused(world, "two", second)
        one.end(killed=first_dies)
        two.end()
        assert len(world.on_x) <= 1
        if not first_dies:
            world.assert_posted_once_and_recorded()


@pytest.mark.parametrize("first_dies", [False, True])
def test_an_execution_that_outlives_its_claim_makes_no_second_post(
    world: World, first_dies: bool
) -> None:
    for first, second in interleavings(world):
        one = Paused(world, "one", first)
        world.now += AFTER_EXPIRY
        two = Paused(world, "two", second)
        one.end(killed=first_dies)
        two.end()
        assert len(world.on_x) <= 1
        world.now += AFTER_EXPIRY
        world.run("three")
        world.assert_posted_once_and_recorded()


def test_a_claim_without_a_text_is_left_alone_until_it_expires(world: World) -> None:
    with pytest.raises(Killed):
        world.run("one", killed("after", 2))
    claim = world.record
    assert claim is not None
    assert claim.state == "claimed"
    world.now = claim.expires - timedelta(seconds=1)
    assert world.run("two") == claim
    world.now = claim.expires
    assert world.run("three").state == "posted"


def test_a_claim_outlasts_its_task(world: World) -> None:
    with pytest.raises(Killed):
        world.run("one", killed("after", 2))
    assert world.record is not None
    assert world.record.expires > world.now + TIMEOUT


UNAVAILABLE: Fault = (503, {"title": "Service Unavailable"})
LOST: list[Fault] = ["cut after", UNAVAILABLE, (200, "<html>")]


@pytest.mark.parametrize("fault", ["cut before", *LOST], ids=str)
def test_a_response_lost_once_is_recovered_by_sending_the_same_text_again(
    world: World, fault: Fault
) -> None:
    world.x.faults.append(fault)
    world.run()
    world.assert_posted_once_and_recorded()
    assert world.slept == [0, 5]
    assert next(world.composed) == 2


@pytest.mark.parametrize("fault", LOST, ids=str)
def test_a_response_lost_for_good_is_recorded_as_unknown_and_never_posted_again(
    world: World, fault: Fault
) -> None:
    world.x.faults += (fault, fault, fault)
    record = world.run("one")
    assert record.state == "unknown"
    held = world.on_x
    world.now += AFTER_EXPIRY
    assert world.run("two") == record
    assert world.on_x == held
    assert len(held) <= 1


REFUSALS: dict[str, Fault] = {
    "401": (401, {"title": "Unauthorized"}),
    "402": (402, {"title": "CreditsDepleted"}),
    "403": (403, {"detail": "You are not permitted to perform this action."}),
    "400": (400, {"title": "Invalid Request"}),
    "429": (429, {"title": "Too Many Requests"}),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_after_a_refusal_the_next_execution_posts_the_same_text(
    world: World, refusal: Fault
) -> None:
    world.x.faults.append(refusal)
    refused = world.run("one")
    assert refused.state == "refused"
    assert "\n" not in refused.reason
    assert (world.on_x, world.spent) == ([], 0)
    assert world.run("two").text == refused.text
    world.assert_posted_once_and_recorded()
    assert world.spent == Decimal("0.015")


def test_a_refusal_after_a_lost_response_leaves_the_doubt_in_the_record(world: World) -> None:
    world.x.faults += ("cut after", REFUSALS["429"], REFUSALS["401"])
    for execution in ("one", "two"):
        record = world.run(execution)
        assert (record.state, record.in_doubt) == ("refused", True)
    world.run("three")
    world.assert_posted_once_and_recorded()


def test_a_text_that_the_account_has_from_elsewhere_is_not_followed_by_another(
    world: World,
) -> None:
    world.x.posts.append(f"{world.account} has this to say, number 1")
    record = world.run()
    assert (record.state, record.id) == ("posted", None)
    assert "duplicate" in record.reason
    assert len(world.on_x) == 1


def test_without_a_network_nothing_is_sent_and_the_next_execution_posts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X_API_URL", "http://127.0.0.1:9")
    record = world.run("one")
    assert (record.state, record.in_doubt) == ("refused", False)
    monkeypatch.setenv("X_API_URL", world.x.url)
    world.run("two")
    world.assert_posted_once_and_recorded()


def test_at_the_months_limit_nothing_is_posted_until_it_is_raised(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.limit = Decimal("0.014")
    record = world.run("one")
    assert (record.state, record.text, world.on_x) == ("refused", None, [])
    assert "limit" in record.reason
    # An alert watches for this event, and finds its stack by the bucket.
    logged = json.loads(capsys.readouterr().out)
    assert (logged["event"], logged["bucket"]) == (events.SPEND_LIMIT, world.store.bucket_name)
    world.limit = Decimal("0.015")
    world.run("two")
    world.assert_posted_once_and_recorded()


def test_a_slot_without_a_usable_text_is_closed_with_the_reasons(world: World) -> None:
    def compose(history: Collection[str]) -> str:
        raise NothingFit("none of 96 texts may be posted: link 96")

    record = world.poster("one").post(SLOT, RELEASE, compose)
    assert (record.state, record.reason) == ("nothing", "none of 96 texts may be posted: link 96")
    assert world.run("two") == record
    assert (world.on_x, world.spent) == ([], 0)


def test_the_composer_gets_every_text_that_was_ever_intended(world: World) -> None:
    world.x.faults.append(REFUSALS["402"])
    text = world.run().text
    seen: list[str] = []

    def compose(history: Collection[str]) -> str:
        seen.extend(history)
        return f"{world.account} speaks of something else"

    world.poster("two").post("20261124T0900Z", RELEASE, compose)
    assert seen == [history.digest(text or "")]


def test_a_recorded_response_of_x_never_ends_in_more_than_one_line(
    world: World, shared_data: Any
) -> None:
    """Each leaves a state that tells whether the text is on X."""
    states: dict[str, str] = {}
    for file in sorted((shared_data / "x-api").glob("*.json")):
        case = json.loads(file.read_text())
        if case["request"]["method"] != "POST" or case["status"] < 400:
            continue
        world.new_account()
        world.x.faults.extend([(case["status"], case["body"])] * 3)
        record = world.run()
        assert "\n" not in record.reason
        states[file.name.partition("-")[0]] = record.state
    assert states.pop("34") == "posted"
    assert states.pop("50") == "unknown"
    assert set(states.values()) == {"refused"}


def test_x_errors_are_told_apart_by_kind(world: World) -> None:
    world.x.faults.append(REFUSALS["401"])
    with pytest.raises(XError) as error:
        send.sender(KEYS)("hello")
    assert error.value.kind == "credentials"
