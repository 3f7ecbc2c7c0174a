"""`:live` ends at what the pointers say, however two release builds interleave or die."""

import threading
from collections.abc import Callable, Iterator

from control_image.bundle import Wanted
from control_image.live import LIVE, converge, point
from control_image.registry import Manifest, Registry

OLD = Wanted("keeper", "20261101T000000Z-aaaaaaaa", "registry/app@sha256:" + "1" * 64)
NEW = Wanted("keeper", "20261102T000000Z-bbbbbbbb", "registry/app@sha256:" + "1" * 64)


class Killed(Exception):
    """The build's machine is gone."""


class World:
    """The pointers and the registry; every touch waits for its turn."""

    def __init__(self) -> None:
        self.pointer = OLD
        self.tags: dict[str, Manifest] = {}

    @property
    def live(self) -> Wanted | None:
        found = self.tags.get(LIVE)
        return next((pair for pair in (OLD, NEW) if found == image_of(pair)), None)

    def build(self, step: Callable[[], None]) -> None:
        """What a release build does: fetch, bundle and push, then converge."""
        registry = Turns(self.tags, step)

        def wanted() -> Wanted:
            step()
            registry.wanted = self.pointer
            return registry.wanted

        pair = wanted()
        step()
        self.tags[pair.tag] = image_of(pair)
        converge(wanted, lambda pair: point(registry, pair))


def image_of(pair: Wanted) -> Manifest:
    return Manifest(pair.tag.encode(), "application/json")


class Turns(Registry):
    """A registry whose every call waits for its turn."""

    def __init__(self, tags: dict[str, Manifest], step: Callable[[], None]) -> None:
        self._tags, self._step = tags, step
        self.wanted: Wanted | None = None

    def read(self, image: str, tag: str) -> Manifest | None:
        self._step()
        return self._tags.get(tag)

    def put(self, image: str, tag: str, manifest: Manifest) -> None:
        self._step()
        assert tag == LIVE
        assert self.wanted is not None
        assert manifest == image_of(self.wanted), "pointed at what was not the last one wanted"
        self._tags[tag] = manifest


class Actor:
    """A build that makes one step whenever it is told to."""

    def __init__(self, world: World, dies_at: int | None = None) -> None:
        self.done = False
        self._steps = 0
        self._dies_at = dies_at
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(world,), daemon=True)
        self._thread.start()
        self._paused.acquire()

    def _run(self, world: World) -> None:
        try:
            world.build(self._step)
        except Killed:
            pass
        finally:
            self.done = True
            self._paused.release()

    def _step(self) -> None:
        self._paused.release()
        self._go.acquire()
        self._steps += 1
        if self._steps == self._dies_at:
            raise Killed

    def advance(self) -> None:
        self._go.release()
        self._paused.acquire()

    def finish(self) -> None:
        while not self.done:
            self.advance()


def schedules(run: Callable[[list[str]], list[str]]) -> Iterator[list[str]]:
    """Every schedule, depth first: `run` follows a prefix and tells who could go on after it."""
    pending: list[list[str]] = [[]]
    while pending:
        prefix = pending.pop()
        choices = run(prefix)
        if choices:
            pending.extend([*prefix, choice] for choice in choices)
        else:
            yield prefix


def play(schedule: list[str], dies_at: int | None = None) -> tuple[World, list[str]]:
    """Follow a schedule of a: the old pointer's build, p: the pointer moves, b: its build."""
    world = World()
    a, b = Actor(world, dies_at), None
    for who in schedule:
        if who == "a":
            a.advance()
        elif who == "p":
            world.pointer, b = NEW, Actor(world)
        elif b is not None:
            b.advance()
    enabled = [
        *(["a"] if not a.done else []),
        *(["p"] if b is None else []),
        *(["b"] if b is not None and not b.done else []),
    ]
    if enabled:  # not the end: let the threads of this replay go
        a.finish()
        if b is not None:
            b.finish()
    return world, enabled


def test_live_is_the_wanted_image_after_every_interleaving_of_two_builds() -> None:
    seen = 0
    for schedule in schedules(lambda prefix: play(prefix)[1]):
        world, _ = play(schedule)
        assert world.live == world.pointer == NEW, schedule
        seen += 1
    assert seen > 100


def test_after_a_build_died_anywhere_the_next_one_puts_live_right() -> None:
    stale = 0
    for dies_at in range(1, 7):
        for schedule in schedules(lambda prefix, n=dies_at: play(prefix, n)[1]):
            world, _ = play(schedule, dies_at)
            stale += world.live != NEW
            Actor(world).finish()  # the event is sent again
            assert world.live == world.pointer == NEW, (dies_at, schedule)
    assert stale > 0, "no death left `:live` wrong, so this proved nothing"


def test_a_build_never_points_live_at_an_image_that_is_not_there() -> None:
    pointed: list[Wanted] = []

    def point(pair: Wanted) -> bool:
        pointed.append(pair)
        return False

    assert converge(lambda: NEW, point) is None
    assert pointed == [NEW]
