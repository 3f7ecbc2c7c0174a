from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest

from pipeline import layout, release
from pipeline.errors import UserError
from pipeline.release import Dataset, Loss, Manifest, Memorisation
from pipeline.settings import Settings
from pipeline.store import PreconditionFailed, Store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = (release.tag(NOON + timedelta(days=d), "0123456789") for d in range(3))


def a_manifest(tag: str) -> Manifest:
    return Manifest(
        account="keeper",
        tag=tag,
        created=NOON,
        run="first",
        dataset=Dataset(digest="0123456789", tweets=600, held_out=60),
        base_model="124M",
        warm_start=None,
        compared_with=None,
        settings=Settings(),
        loss=Loss(
            held_out_float=1.5,
            held_out_int8=1.5,
            live_int8=None,
            train_curve=[(30, 2.0)],
            held_out_curve=[(0, 6.0), (30, 1.5)],
        ),
        memorisation=Memorisation(samples=0.1, held_out=0.1),
        valid=1,
        step=30,
        files={"model/model.bin": "00"},
        gate="passed",
        reason="",
    )


def put(store: Store, manifest: Manifest) -> None:
    name = layout.manifest(manifest.account, manifest.tag)
    store.write(name, manifest.model_dump_json().encode(), generation=0)


def move(store: Store, tag: str, expected_generation: int, by: str = "test") -> int:
    return release.move_live(store, "keeper", tag, by, expected_generation, NOON)


def test_a_tag_is_the_time_in_utc_and_the_data_set() -> None:
    noon_in_paris = datetime(2026, 11, 23, 13, tzinfo=timezone(timedelta(hours=1)))
    assert release.tag(noon_in_paris, "0123456789") == "20261123T120000Z-01234567"


def test_tags_sort_by_time() -> None:
    assert sorted([THIRD, FIRST, SECOND]) == [FIRST, SECOND, THIRD]


def test_without_its_manifest_there_is_no_release(store: Store) -> None:
    store.write(layout.release("keeper", FIRST) + "model/model.bin", b"half", generation=0)
    put(store, a_manifest(SECOND))
    assert [made.tag for made in release.list_releases(store, "keeper")] == [SECOND]


def test_releases_come_oldest_first_and_of_one_account_only(store: Store) -> None:
    for tag in (SECOND, FIRST):
        put(store, a_manifest(tag))
    put(store, a_manifest(THIRD).model_copy(update={"account": "keeper-two"}))
    assert [made.tag for made in release.list_releases(store, "keeper")] == [FIRST, SECOND]


def test_a_manifest_comes_back_as_it_was_written(store: Store) -> None:
    put(store, a_manifest(FIRST))
    assert release.read_manifest(store, "keeper", FIRST) == a_manifest(FIRST)


def test_an_absent_release_is_named_with_the_command_that_lists_them(store: Store) -> None:
    with pytest.raises(UserError, match=f"keeper has no release {FIRST}: see `bots releases"):
        release.read_manifest(store, "keeper", FIRST)


def test_a_damaged_manifest_is_an_error_of_one_line(store: Store) -> None:
    store.write(layout.manifest("keeper", FIRST), b'{"account": 3}', generation=0)
    with pytest.raises(UserError, match=r"^gs://.*/releases/keeper/.*/manifest.json: account: .*$"):
        release.read_manifest(store, "keeper", FIRST)


def test_before_the_first_release_nothing_is_live(store: Store) -> None:
    assert release.read_live(store, "keeper") is None


def test_the_pointer_remembers_what_was_live_before(store: Store) -> None:
    move(store, SECOND, move(store, FIRST, 0), by="run second")
    live = release.read_live(store, "keeper")
    assert live
    assert (live[0].release, live[0].previous, live[0].by) == (SECOND, FIRST, "run second")


def test_a_pointer_that_moved_meanwhile_stays(store: Store) -> None:
    seen = move(store, FIRST, 0)
    move(store, SECOND, seen)
    with pytest.raises(PreconditionFailed):
        move(store, THIRD, seen)
    with pytest.raises(PreconditionFailed):
        move(store, THIRD, 0)
    live = release.read_live(store, "keeper")
    assert live
    assert live[0].release == SECOND


def test_one_of_several_simultaneous_moves_wins(store: Store) -> None:
    seen = move(store, FIRST, 0)

    def attempt(number: int) -> bool:
        try:
            move(store, SECOND, seen, by=f"writer {number}")
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
