"""One run at a time: the lease, under every order in which the steps of two runs can come."""

import json
import random
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline import layout, run_lease
from pipeline.lease import Busy
from pipeline.runs import Outcome, RunResult, read_result, write_result
from pipeline.store import Object, PreconditionFailed, Store
from pipeline.worker import Worker

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEASE = layout.run_lease()


def terms(run: str, by: str, left: timedelta) -> bytes:
    return json.dumps({"run": run, "expires": (NOW + left).isoformat(), "by": by}).encode()


def finish(store: Any, machine: str) -> None:
    write_result(store, RunResult(run=machine, started=NOW, finished=NOW, accounts={}))


@contextmanager
def held(store: Any, machine: str, at: datetime = NOW) -> Generator[None]:
    with run_lease.held(store, Worker.parse(machine), HOUR, lambda: at):
        yield


def found(store: Any) -> dict[str, Any] | None:
    lease = store.read(LEASE)
    return lease and json.loads(lease.data)


class Memory:
    """Stands in for a bucket, with exact preconditions; `step` is called before each request.

    It cannot show an answer that is lost.
    """

    bucket_name = "models"

    def __init__(self, step: Callable[[], None] = lambda: None) -> None:
        self.step = step
        self.objects: dict[str, Object] = {}
        self.generation = 0

    def read(self, name: str) -> Object | None:
        self.step()
        return self.objects.get(name)

    def write(self, name: str, data: bytes, *, generation: int) -> int:
        self.step()
        self._expect(name, generation)
        self.generation += 1
        self.objects[name] = Object(name, data, self.generation)
        return self.generation

    def delete(self, name: str, *, generation: int) -> None:
        self.step()
        self._expect(name, generation)
        del self.objects[name]

    def _expect(self, name: str, generation: int) -> None:
        there = self.objects.get(name)
        if (there.generation if there else 0) != generation:
            raise PreconditionFailed(name)


# One after the other


def test_a_machine_takes_the_lease_for_its_longest_run_and_releases_it() -> None:
    store = Memory()
    with held(store, "mine"):
        expires = (NOW + HOUR).isoformat().replace("+00:00", "Z")
        assert found(store) == {"version": 2, "run": "mine", "expires": expires, "by": "machine"}
    assert found(store) is None


def test_another_run_is_refused_in_one_line_that_says_until_when() -> None:
    store = Memory()
    store.write(LEASE, terms("other", "schedule", HOUR), generation=0)
    before = found(store)
    message = r"^run other has leases/run\.json until 2026-11-23 13:00 UTC: run mine trains nothing"
    with pytest.raises(Busy, match=message), held(store, "mine"):
        pytest.fail("it trains")
    assert found(store) == before


@pytest.mark.parametrize("by", ["schedule", "workflow", "machine"])
def test_a_lease_that_has_expired_is_taken(by: str) -> None:
    store = Memory()
    store.write(LEASE, terms("other", by, timedelta(seconds=-1)), generation=0)
    with held(store, "mine"):
        assert (found(store) or {})["run"] == "mine"


def test_a_machine_leaves_the_lease_that_the_schedule_took_for_its_run() -> None:
    store = Memory()
    store.write(LEASE, terms("mine", "schedule", HOUR), generation=0)
    before = store.objects[LEASE]
    with held(store, "mine"):
        assert store.objects[LEASE] == before
    assert store.objects[LEASE] == before


def test_a_machine_that_starts_again_has_the_lease_for_its_longest_run_again() -> None:
    store = Memory()
    store.write(LEASE, terms("mine", "machine", HOUR / 2), generation=0)
    with held(store, "mine"):
        assert datetime.fromisoformat((found(store) or {})["expires"]) == NOW + HOUR


def test_the_lease_outlasts_a_worker_while_another_may_be_training() -> None:
    store = Memory()
    with held(store, "mine-1of2"):
        finish(store, "mine-1of2")
    assert (found(store) or {})["run"] == "mine"
    with held(store, "mine-2of2"):
        finish(store, "mine-2of2")
    assert found(store) is None


def test_a_worker_that_was_interrupted_leaves_the_lease_to_the_others() -> None:
    store = Memory()
    with held(store, "mine-1of2"):
        finish(store, "mine-1of2")
    with pytest.raises(KeyboardInterrupt), held(store, "mine-2of2"):
        raise KeyboardInterrupt
    assert (found(store) or {})["run"] == "mine"


def test_a_run_of_one_machine_releases_its_lease_however_it_ends() -> None:
    store = Memory()
    with pytest.raises(KeyboardInterrupt), held(store, "mine"):
        raise KeyboardInterrupt
    assert found(store) is None


def test_a_lease_that_another_run_took_meanwhile_is_left_alone() -> None:
    store = Memory()
    with held(store, "mine"):
        there = store.objects[LEASE]
        store.write(LEASE, terms("other", "schedule", HOUR), generation=there.generation)
    assert (found(store) or {})["run"] == "other"


def test_a_damaged_lease_binds_nobody() -> None:
    store = Memory()
    store.write(LEASE, b"nonsense", generation=0)
    with held(store, "mine"):
        assert (found(store) or {})["run"] == "mine"


# In a bucket


def test_a_lease_is_taken_and_released_in_a_bucket(store: Store) -> None:
    with held(store, "mine"), pytest.raises(Busy), held(store, "other"):
        pytest.fail("two at once")
    assert store.read(LEASE) is None
    with held(store, "other"):
        pass


# At once


@dataclass
class World:
    """Machines that each go on by one step when it is their turn, and by nothing else."""

    store: Memory = field(init=False)
    training: list[str] = field(default_factory=list[str])
    trained: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.store = Memory(self._pause)
        self._here = threading.local()
        self._arrived = threading.Semaphore(0)
        self._turns: dict[str, threading.Semaphore] = {}
        self._ended: set[str] = set()
        self._failed: list[Exception] = []

    def _pause(self) -> None:
        """Wait for the next turn; outside of a machine there is nothing to wait for."""
        machine = getattr(self._here, "machine", None)
        if machine is not None:
            self._arrived.release()
            self._turns[machine].acquire()

    def _machine(self, machine: str) -> None:
        self._here.machine = machine
        try:
            self._turns[machine].acquire()
            self._train(machine)
        except Exception as error:  # noqa: BLE001  # raised again by `play`
            self._failed.append(error)
        finally:
            self._ended.add(machine)
            self._arrived.release()

    def _train(self, machine: str) -> None:
        worker = Worker.parse(machine)
        try:
            with run_lease.held(self.store, worker, HOUR, lambda: NOW):  # type: ignore[arg-type]
                assert {Worker.parse(other).run for other in self.training} <= {worker.run}
                self.training.append(machine)
                self._pause()
                self.training.remove(machine)
                finish(self.store, machine)
                self.trained.append(machine)
        except Busy as error:
            outcome = Outcome(outcome="busy", reason=str(error))
            result = RunResult(run=machine, started=NOW, finished=NOW, accounts={"a": outcome})
            write_result(self.store, result)  # type: ignore[arg-type]
            self.refused.append(machine)

    def play(self, machines: list[str], choose: Callable[[list[str]], str]) -> None:
        """Run the machines to their ends; `choose` says whose step is next."""
        threads = [threading.Thread(target=self._machine, args=(name,)) for name in machines]
        self._turns = {name: threading.Semaphore(0) for name in machines}
        for thread in threads:
            thread.start()
        while waiting := [name for name in machines if name not in self._ended]:
            self._turns[choose(waiting)].release()
            self._arrived.acquire()
        for thread in threads:
            thread.join()
        if self._failed:
            raise self._failed[0]


def orders(play: Callable[[Callable[[list[str]], str]], None]) -> int:
    """Play every order there is, each once; how many those were.

    Depth first: the next order is the last one with its last choice that has a successor changed.
    """
    script: list[int] = []
    count = 0
    while True:
        widths: list[int] = []

        def choose(waiting: list[str], widths: list[int] = widths) -> str:
            place = len(widths)
            if place == len(script):
                script.append(0)
            widths.append(len(waiting))
            return waiting[script[place]]

        play(choose)
        count += 1
        while script and script[-1] + 1 == widths[len(script) - 1]:
            script.pop()
        if not script:
            return count
        script[-1] += 1


START: dict[str, bytes | None] = {
    "absent": None,
    "expired": terms("gone", "machine", -HOUR),
    "expired, of one of the two": terms("a", "workflow", -HOUR),
}


@pytest.mark.parametrize("start", START)
def test_of_two_runs_at_once_one_trains_in_whatever_order_their_steps_come(start: str) -> None:
    lease = START[start]
    seen: set[tuple[str, ...]] = set()

    def play(choose: Callable[[list[str]], str]) -> None:
        world = World()
        if lease is not None:
            world.store.write(LEASE, lease, generation=0)
        world.play(["a", "b"], choose)
        # Both only where one had ended before the other looked: never two at once (see _train).
        assert world.trained
        assert sorted(world.trained + world.refused) == ["a", "b"]
        for machine in "ab":
            result = read_result(world.store, machine)  # type: ignore[arg-type]
            assert result
            refused = [outcome.outcome for outcome in result.accounts.values()]
            assert refused == (["busy"] if machine in world.refused else [])
        assert found(world.store) is None
        seen.add(tuple(world.trained))

    assert orders(play) > 50
    assert seen >= {("a",), ("b",), ("a", "b"), ("b", "a")}


def test_workers_of_one_run_train_at_once_and_another_run_does_not() -> None:
    machines = ["a-1of2", "a-2of2", "b"]
    together = False
    for seed in range(500):
        random_order = random.Random(seed)
        world = World()
        world.play(machines, random_order.choice)
        assert sorted(world.trained + world.refused) == machines
        assert found(world.store) is None or world.refused, seed
        together |= world.trained[:2] == ["a-1of2", "a-2of2"]
    assert together
