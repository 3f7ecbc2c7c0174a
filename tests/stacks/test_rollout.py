"""`:live` ends at what the pointers say, however two release builds interleave or die."""

import hashlib
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stacks.scripts import rollout
from stacks.scripts.rollout import BuildError, Wanted

OLD = Wanted("keeper", "20261101T000000Z-aaaaaaaa", "registry/app@sha256:" + "1" * 64)
NEW = Wanted("keeper", "20261102T000000Z-bbbbbbbb", "registry/app@sha256:" + "1" * 64)


class Killed(Exception):
    """The build's machine is gone."""


class World:
    """The pointers, the registry and `:live`; every touch waits for its turn."""

    def __init__(self) -> None:
        self.pointer = OLD
        self.images: set[Wanted] = set()
        self.live: Wanted | None = None

    def build(self, step: Callable[[], None]) -> None:
        """What a release build does: fetch, bundle and push, then converge."""
        last_read: Wanted | None = None

        def wanted() -> Wanted:
            nonlocal last_read
            step()
            last_read = self.pointer
            return last_read

        def point(pair: Wanted) -> bool:
            step()
            assert pair == last_read, "pointed at a pair that was not the last one wanted"
            if pair not in self.images:
                return False
            self.live = pair
            return True

        pair = wanted()
        step()
        self.images.add(pair)
        rollout.converge(wanted, point)


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


def test_live_is_what_the_pointers_say_after_every_interleaving_of_two_builds() -> None:
    seen = 0
    for schedule in schedules(lambda prefix: play(prefix)[1]):
        world, _ = play(schedule)
        assert world.live == world.pointer == NEW, schedule
        seen += 1
    assert seen > 100


def test_after_a_build_died_anywhere_the_next_one_puts_live_right() -> None:
    stale = 0
    for dies_at in range(1, 6):
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

    assert rollout.converge(lambda: NEW, point) is None
    assert pointed == [NEW]


@pytest.mark.parametrize(
    "pointer",
    ["rollout/live/../x.json", "rollout/live/a b.json", "rollout/other/a.json", "$(reboot)", ""],
)
def test_a_name_that_is_no_pointer_is_refused(pointer: str) -> None:
    with pytest.raises(BuildError, match="is not a rollout pointer"):
        rollout.account_of(pointer)


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `gcloud storage` over a folder: gs://models is <tmp>/models.

    It stands in for Google's command; what the real one prints is taken from its documentation.
    """
    tool = tmp_path / "bin/gcloud"
    tool.parent.mkdir()
    tool.write_text(
        "#!/bin/sh\n"
        f'at() {{ echo "{tmp_path}/${{1#gs://}}"; }}\n'
        'case "$2" in\n'
        'cat) f=$(at "$3"); [ -f "$f" ] || { echo "ERROR: matched no objects" >&2; exit 1; }; '
        'cat "$f";;\n'
        'cp) cp -r $(at "$4") "$5";;\n'
        "esac\n"
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    models = tmp_path / "models"
    release = models / f"releases/keeper/{NEW.release}"
    (release / "model").mkdir(parents=True)
    (release / "model/model.bin").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    (release / "manifest.json").write_text(
        json.dumps({"files": {"model/model.bin": digest, "checkpoint/x": "0"}})
    )
    for kind, pointer in {"live": {"release": NEW.release}, "base": {"base": NEW.base}}.items():
        (models / "rollout" / kind).mkdir(parents=True)
        (models / "rollout" / kind / "keeper.json").write_text(json.dumps(pointer))
    work = tmp_path / "workspace"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("STEP", "fetch")
    monkeypatch.setenv("OBJECT", "rollout/live/keeper.json")
    monkeypatch.setenv("MODELS", "models")
    monkeypatch.setenv("REPOSITORY", "registry/bots")
    return tmp_path


def test_fetch_lays_out_an_image_of_the_wanted_pair(gcloud: Path) -> None:
    rollout.main()
    assert Path("image").read_text() == f"registry/bots/keeper:{NEW.release}-{'1' * 12}"
    assert Path("bundle/model/model.bin").read_bytes() == b"weights"
    assert Path("bundle/Dockerfile").read_text().startswith(f"FROM {NEW.base}\n")


def test_before_the_first_release_nothing_is_built(gcloud: Path) -> None:
    (gcloud / "models/rollout/live/keeper.json").unlink()
    rollout.main()
    assert not Path("image").exists()


@pytest.mark.parametrize("damage", ["changed", "missing", "added"])
def test_a_release_that_is_not_what_its_manifest_says_is_not_built(
    gcloud: Path, damage: str
) -> None:
    model = gcloud / f"models/releases/keeper/{NEW.release}/model"
    if damage == "missing":
        (model / "other").write_bytes(b"")
        (model / "model.bin").unlink()
    else:
        (model / {"changed": "model.bin", "added": "extra"}[damage]).write_bytes(b"evil")
    with pytest.raises(BuildError, match="not what its manifest says"):
        rollout.main()
    assert not Path("image").exists()


def test_a_release_without_a_manifest_is_not_built(gcloud: Path) -> None:
    (gcloud / f"models/releases/keeper/{NEW.release}/manifest.json").unlink()
    with pytest.raises(BuildError, match="no manifest"):
        rollout.main()
