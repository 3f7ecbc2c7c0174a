"""Whatever goes wrong, every tweet is held and none is bought twice: in many small worlds.

The limit of it: a page is bought again if it was sold and nobody could keep it. That is a page
whose response was lost or made no sense, or whose buyer was killed, or cut off from the bucket,
before the page was stored. `World` counts these pages exactly.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

import pytest

from pipeline.store import Object, Store
from tests.conftest import SEED
from tests.scraper.simulation import Broken, Execution, Fault, World, collect, story

Plan = Mapping[int, Fault]
"""What goes wrong, by the number of the step."""


def told(seed: int) -> World:
    """The world of a seed after everything has settled."""
    try:
        world = story(seed)
        world.settle()
    except Exception as error:
        raise AssertionError(f"see `python -m tests.scraper.simulation {seed}`: {error}") from error
    return world


def first_collection(plan: Plan, *, posts: int = 12, page: int = 5) -> World:
    """A back-fill of some pages, some news, and two more ticks."""
    world = World(draw=lambda step, possible: plan.get(step), page=page)
    try:
        for _ in range(posts):
            world.now += timedelta(minutes=7)
            world.x.write()
        for _ in range(2):
            world.now += timedelta(hours=6)
            world.run(timedelta())
            world.x.write()
        world.settle()
    except Exception as error:
        raise AssertionError(f"first_collection({dict(plan)}, {posts=}): {error}") from error
    return world


def short_collection(plan: Plan) -> World:
    """Two pages, as few steps as there can be."""
    return first_collection(plan, posts=6)


def single_faults(play: Callable[[Plan], World], plan: Plan | None = None) -> Iterator[Plan]:
    """Each fault at each step after those of the plan, added to the plan."""
    plan = plan or {}
    for step, possible in enumerate(play(plan).possible, start=1):
        if step > max(plan, default=0):
            for fault in possible:
                yield {**plan, step: fault}


def test_each_fault_at_each_step_of_a_collection_costs_only_itself() -> None:
    plans = list(single_faults(first_collection))
    for plan in plans:
        first_collection(plan)
    assert len(plans) > 200
    assert {fault for plan in plans for fault in plan.values()} == set(Fault)


@pytest.mark.deep
def test_each_pair_of_faults_costs_only_itself() -> None:
    played = 0
    for first in single_faults(short_collection):
        for plan in single_faults(short_collection, first):
            short_collection(plan)
            played += 1
    assert played > 10_000


def test_some_hundred_stories_end_well() -> None:
    worlds = [told(seed) for seed in range(SEED * 1_000_000, SEED * 1_000_000 + 600)]
    assert sum(world.x.sent.total() for world in worlds) > 2_000, "the stories are empty"
    assert any(world.lost for world in worlds)
    assert any(not world.lost and world.x.billed for world in worlds)


@pytest.mark.deep
def test_ten_thousand_stories_end_well() -> None:
    for seed in range(SEED * 1_000_000, SEED * 1_000_000 + 10_000):
        told(seed)


def test_without_faults_each_tweet_is_bought_once() -> None:
    world = first_collection({})
    assert not world.lost
    assert set(world.x.sent.values()) == {1}
    assert world.x.billed == world.x.sent.total() == len(world.x.posts) == 14


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.NONSENSE, Fault.CRASH_AFTER])
def test_a_page_whose_response_is_lost_is_bought_again_and_no_other(fault: Fault) -> None:
    page = next(
        step
        for plan in single_faults(first_collection)
        for step, met in plan.items()
        if met is Fault.BUSY and step > 10  # a step of X, after the user was looked up
    )
    world = first_collection({page: fault})
    assert world.lost.total() == 5
    assert world.x.sent == {id_: 1 + world.lost[id_] for id_ in world.x.posts}


def test_a_seed_tells_the_same_story_each_time() -> None:
    heard: list[list[str]] = []
    for _ in range(2):
        lines: list[str] = []
        story(SEED, tell=lines.append).settle()
        heard.append(lines)
    assert heard[0] == heard[1] != []


# A simulation that finds nothing proves something only if it finds what is there.


class Sabotaged(Store):
    """A bucket that has forgotten all objects with `part` in their names, and keeps no new ones."""

    def __init__(self, store: Store, part: str) -> None:
        self._whole = store
        self._part = part

    @property
    def bucket_name(self) -> str:
        return self._whole.bucket_name

    def read(self, name: str) -> Object | None:
        return None if self._part in name else self._whole.read(name)

    def write(self, name: str, data: bytes, *, generation: int) -> int:
        if self._part in name:
            return 1
        return self._whole.write(name, data, generation=generation)

    def names(self, prefix: str) -> list[str]:
        return [name for name in self._whole.names(prefix) if self._part not in name]

    def delete(self, name: str, *, generation: int) -> None:
        if self._part not in name:
            self._whole.delete(name, generation=generation)


def without(part: str) -> Callable[[Execution], None]:
    """A collector that does not keep the objects with `part` in their names."""

    def execute(execution: Execution) -> None:
        execution.store = Sabotaged(execution.store, part)
        collect(execution)

    return execute


def without_names(execution: Execution) -> None:
    """A collector that does not look for the pages that are stored."""
    execution.store.names = lambda prefix: []
    collect(execution)


def without_limit(execution: Execution) -> None:
    """A collector that does not heed its limit."""
    execution.limit *= 1000
    collect(execution)


@pytest.mark.parametrize(
    ("execute", "found"),
    [
        (without("collecting.json"), "was bought 2 times, lost 0 times"),
        (without("reads.json"), "the ledger has"),
        (without("/segments/"), "is in a range that the index holds"),
        (without("posts/keeper/"), "of the bot was bought"),
        (without("index.json"), "without faults ended with"),
        (without_names, "was held and was bought again"),
        (without_limit, "X's bill of 2026-1. is"),
    ],
)
def test_the_simulation_finds_a_collector_that(
    execute: Callable[[Execution], None], found: str
) -> None:
    for seed in range(200):
        try:
            story(seed, execute).settle()
        except Broken as broken:
            if re.search(found, str(broken)):
                return
    pytest.fail(f"no story was broken because it {found!r}")
