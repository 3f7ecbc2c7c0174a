"""No release that looks complete lacks a file, in whatever order programs run."""

# pyright: reportPrivateUsage=false

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bots import releases
from pipeline import layout, release
from pipeline.errors import Unavailable, UserError
from pipeline.release import Manifest
from pipeline.store import Object, PreconditionFailed, Store
from stacks import config
from tests.trainer.conftest import REAL, World
from tests.trainer.steps import Actor, Bucket, Steps, interleavings
from tests.trainer.test_release import a_manifest
from trainer_image import prune
from trainer_image.account import Trainer
from trainer_image.config import Config
from trainer_image.lease import LENGTH, Lease
from trainer_image.prune import GRACE

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
FILES = ("model/model.bin", "checkpoint/model.ckpt.index", "dataset.json")
OLD, BEFORE, LIVE, NEW = (release.tag(START + timedelta(days=d), "0123456789") for d in range(4))
NOW = START + timedelta(days=10)
LATER = NOW + GRACE
KEEP = 1

SHARED = (layout.live_pointer("keeper"), layout.manifest("keeper", OLD))
"""The ends of names that both a pruning and an operator who promotes OLD use."""

Step = Callable[[], None]


def publish(store: Store, tag: str, **changes: object) -> Manifest:
    """Store a complete release."""
    digests = dict.fromkeys(FILES, "00")
    manifest = a_manifest(tag).model_copy(update={"files": digests, **changes})
    for file in FILES:
        store.write(layout.release("keeper", tag) + file, tag.encode(), generation=0)
    store.write(layout.manifest("keeper", tag), manifest.model_dump_json().encode(), generation=0)
    return manifest


def move(store: Store, tag: str, at: datetime = START) -> None:
    found = release.read_live(store, "keeper")
    release.move_live(store, "keeper", tag, "a test", found[1] if found else 0, at)


def a_bucket(*more: str) -> Bucket:
    """Nothing needs OLD; BEFORE was live before LIVE."""
    bucket = Bucket()
    store = Steps(bucket)
    for tag in (OLD, BEFORE, LIVE, *more):
        publish(store, tag)
    move(store, BEFORE)
    move(store, LIVE)
    return bucket


def run_prune(store: Store, now: datetime, keep: int = KEEP) -> None:
    """Prune as a training does that ends now."""
    lease = Lease(store, "keeper", "run", lambda: now)
    prune.prune(store, "keeper", keep, lease, lambda: now)


def files(store: Store, tag: str) -> set[str]:
    prefix = layout.release("keeper", tag)
    return {name.removeprefix(prefix) for name in store.names(prefix)}


def is_whole(store: Store, tag: str) -> bool:
    return files(store, tag) == {*FILES, "manifest.json"}


def pruned(store: Store) -> list[str]:
    """The tags of the releases that are marked."""
    return [m.tag for m in release.list_releases(store, "keeper") if m.pruned]


def live_tag(store: Store) -> str:
    found = release.read_live(store, "keeper")
    assert found
    return found[0].release


def check(bucket: Bucket) -> None:
    """Check what must hold whenever every program has ended or died."""
    store = Steps(bucket)
    for manifest in release.list_releases(store, "keeper"):
        if manifest.pruned is None:
            assert is_whole(store, manifest.tag), f"{manifest.tag} looks whole and is not"
    assert is_whole(store, live_tag(store)), "the live release is not whole"


def check_now_and_later(bucket: Bucket) -> None:
    """Check now and after each of the next two trainings, when no used release is marked."""
    check(bucket)
    for now in (LATER, LATER + GRACE):
        run_prune(Steps(bucket), now)
        check(bucket)
    assert live_tag(Steps(bucket)) not in pruned(Steps(bucket))


# Which releases are pruned


def test_releases_in_use_and_the_newest_keep_their_weights_and_all_others_lose_them(
    store: Store,
) -> None:
    for tag in (OLD, BEFORE, LIVE, NEW):
        publish(store, tag)
    move(store, OLD)
    move(store, BEFORE)
    run_prune(store, NOW)
    run_prune(store, LATER)
    assert pruned(store) == [LIVE]
    assert [is_whole(store, tag) for tag in (OLD, BEFORE, NEW)] == [True, True, True]
    assert files(store, LIVE) == {"dataset.json", "manifest.json"}


def test_the_newest_are_counted_among_those_that_passed(store: Store) -> None:
    for tag in (OLD, BEFORE):
        publish(store, tag)
    for tag in (LIVE, NEW):
        publish(store, tag, gate="refused", reason="worse")
    run_prune(store, NOW, keep=2)
    run_prune(store, LATER, keep=2)
    assert pruned(store) == [LIVE, NEW]
    assert is_whole(store, OLD)
    assert is_whole(store, BEFORE)


def test_of_those_that_have_learnt_forgotten_tweets_the_live_one_alone_stays(store: Store) -> None:
    """No rollback makes the one before it live, and the newest are no choice either."""
    for tag in (OLD, BEFORE, LIVE, NEW):
        publish(store, tag)
    for tag in (BEFORE, LIVE):
        move(store, tag)
    for tag in (BEFORE, LIVE, NEW):
        release.mark_learnt(store, "keeper", tag, NOW)
    run_prune(store, NOW)
    run_prune(store, LATER)
    assert pruned(store) == [BEFORE, NEW]
    assert is_whole(store, OLD)
    assert is_whole(store, LIVE)
    assert files(store, BEFORE) == files(store, NEW) == {"dataset.json", "manifest.json"}


def test_before_the_first_release_goes_live_the_newest_stay(store: Store) -> None:
    publish(store, OLD)
    run_prune(store, NOW)
    assert pruned(store) == []


def test_nothing_is_deleted_until_a_while_after_the_mark() -> None:
    bucket = a_bucket()
    for now in (NOW, LATER - timedelta(seconds=1)):
        run_prune(Steps(bucket), now)
        assert pruned(Steps(bucket)) == [OLD]
        assert is_whole(Steps(bucket), OLD)
    run_prune(Steps(bucket), LATER)
    assert not is_whole(Steps(bucket), OLD)


def test_no_machine_runs_for_longer_than_the_time_from_mark_to_deletion() -> None:
    with pytest.raises(ValueError, match="hours"):
        config.Training(zones=("europe-west4-a",), hours=GRACE // timedelta(hours=1) + 1)


def test_a_mark_changes_nothing_else_in_the_manifest() -> None:
    bucket = a_bucket()
    store = Steps(bucket)
    name = layout.manifest("keeper", OLD)
    document = json.loads(bucket.objects[name][0]) | {"of a newer program": [1]}
    bucket.objects[name] = json.dumps(document).encode(), bucket.objects[name][1]
    run_prune(store, NOW)
    written = json.loads(bucket.objects[name][0])
    assert datetime.fromisoformat(written["pruned"]) == NOW
    assert written | {"pruned": None} == document
    assert release.read_manifest(store, "keeper", OLD).pruned == NOW


def test_a_manifest_that_is_older_than_pruning_is_read() -> None:
    document = json.loads(a_manifest(OLD).model_dump_json())
    del document["pruned"]
    assert Manifest.model_validate(document).pruned is None


def test_pruning_again_changes_nothing() -> None:
    bucket = a_bucket()
    run_prune(Steps(bucket), NOW)
    run_prune(Steps(bucket), LATER)
    before = dict(bucket.objects)
    run_prune(Steps(bucket), LATER)
    run_prune(Steps(bucket), LATER + GRACE)
    lease = layout.lease("keeper")
    assert {k: v for k, v in bucket.objects.items() if k != lease} == {
        k: v for k, v in before.items() if k != lease
    }


def test_manifests_of_emptied_releases_are_not_read_again() -> None:
    """Their number grows without bound, and a training machine's time is expensive."""
    bucket = a_bucket()
    run_prune(Steps(bucket), NOW)
    run_prune(Steps(bucket), LATER)
    read: list[str] = []

    class Watched(Steps):
        def read(self, name: str) -> Object | None:
            read.append(name)
            return super().read(name)

    run_prune(Watched(bucket), LATER)
    assert layout.manifest("keeper", LIVE) in read
    assert layout.manifest("keeper", OLD) not in read


def test_an_incomplete_upload_is_deleted_once_nothing_can_still_be_uploading_it(
    store: Store,
) -> None:
    half = release.tag(NOW, "0123456789")
    publish(store, LIVE)
    store.write(layout.release("keeper", half) + FILES[0], b"half", generation=0)
    store.write(layout.releases("keeper") + "notes/readme.txt", b"by hand", generation=0)
    store.write(layout.release("keeper-two", half) + FILES[0], b"another's", generation=0)
    run_prune(store, LATER - timedelta(seconds=1))
    assert files(store, half) == {FILES[0]}
    run_prune(store, LATER)
    assert files(store, half) == set()
    assert store.names(layout.releases("keeper") + "notes/")
    assert store.names(layout.releases("keeper-two"))


def test_storage_that_fails_is_a_warning_and_does_not_fail_the_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Broken(Steps):
        def names(self, prefix: str) -> list[str]:
            raise Unavailable(f"bucket models: cannot list {prefix}")

    run_prune(Broken(a_bucket()), NOW)
    line = json.loads(capsys.readouterr().out)
    assert line["severity"] == "WARNING"
    assert "releases of keeper not pruned" in line["message"]
    assert "cannot list releases/keeper/" in line["message"]


def test_a_release_whose_manifest_cannot_be_read_is_left_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bucket = a_bucket()
    store = Steps(bucket)
    name = layout.manifest("keeper", BEFORE)
    found = store.read(name)
    assert found is not None
    store.write(name, b'{"version": 9}', generation=found.generation)
    run_prune(store, NOW)
    run_prune(store, LATER)
    assert pruned(store) == [OLD]
    assert is_whole(store, BEFORE)
    assert (
        f"release {BEFORE} of keeper is not pruned: gs://models/{name}" in capsys.readouterr().out
    )


def test_a_program_that_lost_the_lease_marks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    bucket = a_bucket()
    store = Steps(bucket)
    times = [NOW]
    mine = Lease(store, "keeper", "mine", lambda: times[-1])
    times.append(NOW + LENGTH)
    Lease(store, "keeper", "another", lambda: times[-1])
    prune.prune(store, "keeper", KEEP, mine, lambda: times[-1])
    assert "another run has taken leases/accounts/keeper.json" in capsys.readouterr().out
    assert pruned(store) == []


# Beside the operator, in every order


@pytest.mark.parametrize("act", ["promote", "rollback"])
def test_pruning_beside_an_operator_leaves_the_live_release_whole(act: str) -> None:
    ends: set[str] = set()
    for bucket, (pruner, operator), order in played(pruning(NOW), acting(act)):
        check_now_and_later(bucket)
        assert pruner.error is None, order
        ends.add(end_of(operator, act, bucket))
    assert ends == ({"moved", "refused"} if act == "promote" else {"moved"})


def test_an_operator_who_is_slower_than_the_deletion_is_refused_or_succeeds() -> None:
    """The promotion read the manifest before the mark; it may move after the deletion."""

    def slow(bucket: Bucket) -> Actor:
        found = release.read_live(Steps(bucket), "keeper")
        assert found

        def program(step: Step) -> None:
            store = Steps(bucket, step, SHARED)
            release.move_live(store, "keeper", OLD, "operator", found[1], NOW)

        return Actor(program)

    ends: set[str] = set()
    for bucket, (_, operator), _ in played(pruning(NOW, LATER), slow):
        check(bucket)
        ends.add(end_of(operator, "promote", bucket))
    assert ends == {"moved", "refused"}


def test_a_first_promotion_that_is_undone_leaves_no_pointer() -> None:
    def start() -> Bucket:
        bucket = Bucket()
        for tag in (OLD, LIVE):
            publish(Steps(bucket), tag)
        return bucket

    undone = 0
    for bucket, (_, operator), _ in played(pruning(NOW), acting("promote"), start=start):
        if isinstance(operator.error, UserError):
            undone += 1
            assert release.read_live(Steps(bucket), "keeper") is None
        else:
            check_now_and_later(bucket)
    assert undone


def test_a_promotion_that_is_undone_leaves_what_another_chose_meanwhile() -> None:
    """A second operator promotes BEFORE between the first one's move and its check."""
    bucket = a_bucket()
    run_prune(Steps(bucket), NOW)

    class Slow(Steps):
        def read(self, name: str) -> Object | None:
            if name == layout.manifest("keeper", OLD):
                move(Steps(bucket), BEFORE)
            return super().read(name)

    found = release.read_live(Steps(bucket), "keeper")
    assert found
    with pytest.raises(release.NotAllowed):
        release.move_live(Slow(bucket), "keeper", OLD, "first", found[1], NOW)
    assert live_tag(Steps(bucket)) == BEFORE


@pytest.mark.parametrize("dies_at", range(1, 7))
def test_an_operator_who_dies_at_any_call_leaves_a_complete_live_release(dies_at: int) -> None:
    """If it dies after its move, the pointer names a marked release, whose mark is taken back."""
    for bucket, _, _ in played(pruning(NOW), acting("promote", dies_at)):
        check_now_and_later(bucket)


# Beside a training that goes live, and readers


@pytest.mark.parametrize("act", ["promote", "rollback"])
def test_a_training_that_goes_live_and_prunes_beside_an_operator_leaves_it_whole(
    act: str, tmp_path: Path
) -> None:
    def training(bucket: Bucket) -> Actor:
        manifest = release.read_manifest(Steps(bucket), "keeper", NEW)
        seen = release.read_live(Steps(bucket), "keeper")

        def program(step: Step) -> None:
            store = Steps(bucket, step, SHARED)
            trainer = Trainer(CONFIG, manifest.run, store, store, tmp_path, lambda: NOW)
            trainer._go_live(manifest, seen)
            run_prune(store, NOW)

        return Actor(program)

    def start() -> Bucket:
        bucket = a_bucket()
        publish(Steps(bucket), NEW, compared_with=LIVE)
        return bucket

    for bucket, (trainer, operator), order in played(training, acting(act), start=start):
        check_now_and_later(bucket)
        assert trainer.error is None, order
        assert operator.error is None or isinstance(operator.error, UserError), order


def reading(bucket: Bucket) -> Actor:
    """Read as a build and the tweet API do: the pointer, the manifest, every model file."""

    def program(step: Step) -> None:
        store = Steps(bucket, step)
        found = release.read_live(store, "keeper")
        assert found
        names = release.read_manifest(store, "keeper", found[0].release).files
        for name in names:
            assert store.read(layout.release("keeper", found[0].release) + name), name

    return Actor(program)


def test_a_reader_of_the_live_release_gets_all_of_it_whatever_goes_live_meanwhile() -> None:
    """The pointer moves twice, so the release that is being read is unused; then it is pruned."""
    of_live = tuple(layout.release("keeper", LIVE) + file for file in (*FILES, "manifest.json"))

    def changing(bucket: Bucket) -> Actor:
        def program(step: Step) -> None:
            store = Steps(bucket, step, (layout.live_pointer("keeper"), *of_live))
            step()
            releases.promote(Steps(bucket), "keeper", BEFORE, "operator", NOW)
            step()
            releases.promote(Steps(bucket), "keeper", NEW, "operator", NOW)
            run_prune(store, NOW)

        return Actor(program)

    seen_marked = False
    start = lambda: a_bucket(NEW)  # noqa: E731
    for bucket, (reader, _), order in played(reading, changing, start=start):
        assert reader.error is None, order
        seen_marked |= LIVE in pruned(Steps(bucket))
    assert seen_marked, "the release that is read was never pruned, so this proved nothing"


# Dying at any call


def test_pruning_that_dies_at_any_call_leaves_a_true_state_and_the_next_completes_it() -> None:
    for begun in (NOW, LATER):
        deaths = 0
        while True:
            bucket = a_bucket(NEW)
            if begun == LATER:
                run_prune(Steps(bucket), NOW)
            deaths += 1
            actor = Actor(pruning_program(bucket, begun, shared=("",)), dies_at=deaths)
            while not actor.done:
                actor.advance()
            check(bucket)
            run_prune(Steps(bucket), LATER)
            run_prune(Steps(bucket), LATER + GRACE)
            check(bucket)
            assert pruned(Steps(bucket)) == [OLD]
            assert files(Steps(bucket), OLD) == {"dataset.json", "manifest.json"}
            if actor.calls < deaths:
                break
        assert deaths > 8


def test_the_mark_of_a_release_that_lacks_files_is_never_taken_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Such a release is live only if an operator was slower than the deletion, and died."""
    bucket = a_bucket()
    store = Steps(bucket)
    run_prune(store, NOW)
    store.remove(layout.release("keeper", OLD) + FILES[0])
    pointer = release.LivePointer(release=OLD, at=NOW, by="operator", previous=LIVE)
    name = layout.live_pointer("keeper")
    bucket.objects[name] = pointer.model_dump_json().encode(), 1000
    run_prune(store, LATER)
    assert OLD in pruned(store)
    assert files(store, OLD) == {*FILES[1:], "manifest.json"}
    (error,) = [line for line in capsys.readouterr().out.splitlines() if '"ERROR"' in line]
    assert f"release {OLD} of keeper is in use and lacks files: promote another" in error


# The whole programs


def test_a_pruned_release_is_neither_promoted_nor_rolled_back_to() -> None:
    bucket = a_bucket()
    store = Steps(bucket)
    for tag in (OLD, BEFORE):
        release.mark(store, "keeper", tag, NOW)
    pointer = store.read(layout.live_pointer("keeper"))
    with pytest.raises(
        release.NotAllowed, match=f"{OLD} of keeper was pruned on 2026-12-03.*choose"
    ):
        releases.promote(store, "keeper", OLD, "operator", NOW)
    with pytest.raises(release.NotAllowed, match=f"{BEFORE} of keeper was pruned"):
        releases.rollback(store, "keeper", "operator", NOW)
    assert store.read(layout.live_pointer("keeper")) == pointer, "a build was started for nothing"


def test_a_training_prunes_the_account_even_when_it_has_nothing_to_train(
    keeper_live: World, without_tensorflow: dict[str, str]
) -> None:
    models = keeper_live.models
    first = keeper_live.live("keeper")
    assert first
    for tag in (OLD, BEFORE, LIVE):
        assert tag < first
        publish(models, tag, run=f"run-{tag[6:8]}")
    release.mark(models, "keeper", OLD, datetime.now(UTC) - GRACE)
    finished = keeper_live.train("second", REAL, without_tensorflow)
    assert finished["keeper"].outcome == "skipped"
    assert files(models, OLD) == {"dataset.json", "manifest.json"}
    assert pruned(models) == [OLD, BEFORE]
    assert is_whole(models, BEFORE)
    release.read_whole(models, "keeper", LIVE)
    release.read_whole(models, "keeper", first)


@pytest.mark.parametrize("double", [False, True])
def test_the_bucket_of_these_tests_behaves_like_a_real_server(double: bool, store: Store) -> None:
    tested = Steps(Bucket()) if double else store
    said: list[object] = []

    def tries(call: Callable[[], object]) -> None:
        try:
            said.append(call())
        except PreconditionFailed as error:
            said.append(str(error))

    assert tested.read("a/1") is None
    first = tested.write("a/1", b"one", generation=0)
    tries(lambda: tested.write("a/1", b"two", generation=0))
    tries(lambda: tested.write("a/1", b"two", generation=first + 1))
    tries(lambda: tested.write("b/1", b"two", generation=first))
    second = tested.write("a/1", b"two", generation=first)
    assert second > first
    tries(lambda: tested.write("a/1", b"one", generation=first))
    tries(lambda: tested.delete("a/1", generation=first))
    tries(lambda: tested.delete("absent", generation=first))
    tries(lambda: tested.remove("absent"))
    found = tested.read("a/1")
    assert found
    assert (found.data, found.generation) == (b"two", second)
    tested.write("a/0", b"", generation=0)
    tested.write("ab", b"", generation=0)
    tries(lambda: tested.names("a/"))
    tested.delete("a/1", generation=second)
    tries(lambda: tested.remove("ab"))
    tries(lambda: tested.names(""))
    assert said == [
        *("a/1", "a/1", "b/1", "a/1", "a/1", "absent", None),
        *(["a/0", "a/1"], None, ["a/0"]),
    ]


CONFIG = Config.read(
    {
        "DATA_BUCKET": "d",
        "MODELS_BUCKET": "m",
        "SETTINGS": "{}",
        "MAX_RUN_SECONDS": "60",
        "KEEP_RELEASES": str(KEEP),
    }
)


def pruning_program(
    bucket: Bucket, *nows: datetime, shared: tuple[str, ...] = SHARED
) -> Callable[[Step], None]:
    def program(step: Step) -> None:
        for now in nows:
            run_prune(Steps(bucket, step, shared), now)

    return program


def pruning(*nows: datetime) -> Callable[[Bucket], Actor]:
    """Trainings that prune at these times."""
    return lambda bucket: Actor(pruning_program(bucket, *nows))


def acting(act: str, dies_at: int = 0) -> Callable[[Bucket], Actor]:
    """An operator who promotes OLD, or rolls back."""

    def actor(bucket: Bucket) -> Actor:
        def program(step: Step) -> None:
            store = Steps(bucket, step, SHARED)
            if act == "promote":
                releases.promote(store, "keeper", OLD, "operator", NOW)
            else:
                releases.rollback(store, "keeper", "operator", NOW)

        return Actor(program, dies_at)

    return actor


def end_of(operator: Actor, act: str, bucket: Bucket) -> str:
    """Check that the operator learned the truth; returns "moved" or "refused"."""
    if operator.error is None:
        assert live_tag(Steps(bucket)) == {"promote": OLD, "rollback": BEFORE}[act]
        return "moved"
    assert isinstance(operator.error, release.NotAllowed), operator.error
    assert live_tag(Steps(bucket)) == LIVE
    return "refused"


def played(
    *actors: Callable[[Bucket], Actor], start: Callable[[], Bucket] = a_bucket
) -> Iterator[tuple[Bucket, list[Actor], list[int]]]:
    """Every order of the actors' storage calls, each on a new bucket."""
    buckets: list[Bucket] = []

    def cast() -> list[Actor]:
        buckets[:] = [start()]
        return [actor(buckets[0]) for actor in actors]

    for ended, order in interleavings(cast):
        yield buckets[0], ended, order
