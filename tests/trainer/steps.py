"""Interleaves programs on one bucket at each of their storage calls, and kills them there."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.store import Object, PreconditionFailed, Store, Version


class Killed(BaseException):
    """The program is dead."""


class Bucket:
    """The objects of a bucket without versioning; `tests/trainer/test_prune.py` compares it with a
    real server.

    Its generations count up over all objects, as Google's grow with time.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.generation = 0


class Steps(Store):
    """A `Store` on a `Bucket`. `step` runs before each call; it may wait, or raise Killed.

    Calls on objects that no other program changes come in any order to the same end; with `shared`
    (ends of names) only calls on those objects wait for their turn.
    """

    def __init__(
        self,
        bucket: Bucket,
        step: Callable[[], None] = lambda: None,
        shared: tuple[str, ...] = ("",),
    ) -> None:
        self._kept = bucket
        self._turn = step
        self._shared = shared

    @property
    def bucket_name(self) -> str:
        return "models"

    def read(self, name: str) -> Object | None:
        self._step(name)
        found = self._kept.objects.get(name)
        return found and Object(name, *found)

    def write(self, name: str, data: bytes, *, generation: int) -> int:
        self._step(name)
        self._expect(name, generation)
        self._kept.generation += 1
        self._kept.objects[name] = data, self._kept.generation
        return self._kept.generation

    def delete(self, name: str, *, generation: int) -> None:
        self._step(name)
        self._expect(name, generation)
        del self._kept.objects[name]

    def remove(self, name: str) -> None:
        self._step(name)
        self._kept.objects.pop(name, None)

    def erase(self, name: str, generation: int) -> None:
        self._step(name)
        if self._kept.objects.get(name, (b"", 0))[1] == generation:
            del self._kept.objects[name]

    def versions(self, prefix: str) -> list[Version]:
        self._step(prefix)
        found = self._kept.objects.items()
        return sorted(Version(n, g, True) for n, (_, g) in found if n.startswith(prefix))

    def names(self, prefix: str) -> list[str]:
        self._step(prefix)
        return sorted(name for name in self._kept.objects if name.startswith(prefix))

    def download(self, name: str, path: Path) -> None:
        self._step(name)
        path.write_bytes(self._kept.objects[name][0])

    def _step(self, name: str) -> None:
        if name.endswith(self._shared):
            self._turn()

    def _expect(self, name: str, generation: int) -> None:
        _, found = self._kept.objects.get(name, (b"", 0))
        if found != generation:
            raise PreconditionFailed(name)


class Actor:
    """A program in a thread of its own that makes one storage call for each `advance`."""

    def __init__(self, program: Callable[[Callable[[], None]], None], dies_at: int = 0) -> None:
        """`program` takes the function to call before each call; it dies at call `dies_at`."""
        self.done = False
        self.error: BaseException | None = None
        self._program, self._dies_at, self.calls = program, dies_at, 0
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()
        self._paused.acquire()

    def _run(self) -> None:
        try:
            self._program(self._step)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            self.error = error
        self.done = True
        self._paused.release()

    def _step(self) -> None:
        self.calls += 1
        if self.calls == self._dies_at:
            raise Killed
        self._paused.release()
        self._go.acquire()

    def advance(self) -> None:
        self._go.release()
        self._paused.acquire()


def interleavings(actors: Callable[[], list[Actor]]) -> Iterator[tuple[list[Actor], list[int]]]:
    """Every order of the actors' calls, each played to its end on new actors."""
    pending: list[list[int]] = [[]]
    while pending:
        prefix = pending.pop()
        played, cast = list[int](), actors()
        while enabled := [number for number, actor in enumerate(cast) if not actor.done]:
            if len(played) < len(prefix):
                choice = prefix[len(played)]
            else:
                choice = enabled[0]
                pending.extend([*played, other] for other in enabled[1:])
            cast[choice].advance()
            played.append(choice)
        yield cast, played


class Counting(Steps):
    """A `Store` that records which objects are read."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket)
        self.read_names: list[str] = []

    def read(self, name: str) -> Object | None:
        self.read_names.append(name)
        return super().read(name)
