"""What is forgotten is gone to the last byte at the promised time, and never comes back."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from bots import forget
from bots.cloud import Cloud
from bots.forget import Request
from bots.imports import import_archive
from bots.receipt import Receipt
from demo.samples import archive as sample
from local.gateway import iam
from local.gateway.gateway import Gateway
from local.services.storage import api as storage_api
from local.services.storage.past import Keeping
from local.services.storage.server import StorageServer
from pipeline import (
    archive,
    corpus,
    documents,
    forgotten,
    history,
    index,
    layout,
    lease,
    release,
    run_lease,
    slots,
)
from pipeline.errors import UserError
from pipeline.index import Index, Range
from pipeline.lease import Busy, Terms
from pipeline.prices import POST_READ
from pipeline.release import TweetIds
from pipeline.slots import Slot
from pipeline.spend import Ledger
from pipeline.store import Store
from pipeline.tweets import Tweet, to_jsonl
from stacks import stack_file
from stacks.config import Stack
from tests.trainer.test_release import FIRST, SECOND, THIRD, a_manifest, put

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
STACK_FILE = """\
config:
  gcp:project: some-bots
  gcp:region: europe-west4
  gpt2-bots:keep: {tweets_days: 14}
  gpt2-bots:accounts:
    keeper: {handle: lampkeeper, source: archive, consent: made up, post: "0 9 * * *"}
"""
SECRET = "Nobody at the harbour knows that I moved to 7 Gull Lane"
OTHER = "Fog again. The lamp burned until noon"


@dataclass
class World:
    """A stack whose buckets keep versions for a day and soft-deleted objects for two weeks."""

    stack: Stack
    server: StorageServer
    folder: Path
    data: Store
    models: Store
    time: list[datetime] = field(default_factory=lambda: [NOW])
    local: None = None

    def now(self) -> datetime:
        return self.time[0]

    @property
    def cloud(self) -> Cloud:
        return cast("Cloud", self)

    def later(self, **by: float) -> None:
        """Let time pass, and the server do what is due."""
        self.time[0] += timedelta(**by)
        self.server.past.settle(self.now())

    def collect(self, name: str, *tweets: Tweet) -> str:
        segment = layout.segments("keeper") + name
        self.data.write(segment, to_jsonl(tweets), generation=0)
        return segment

    def release(self, tag: str, *train: str, held_out: tuple[str, ...] = (), **more: Any) -> None:
        weights, _ = layout.weights("keeper", tag)
        self.models.write(f"{weights}model.bin", b"weights", generation=0)
        put(self.models, a_manifest(tag).model_copy(update=more))
        name = layout.release("keeper", tag) + release.DATASET
        ids = TweetIds(train=list(train), held_out=list(held_out))
        self.models.write(name, documents.dump(ids), generation=0)

    def learnt(self, tag: str) -> datetime | None:
        return release.read_manifest(self.models, "keeper", tag).learnt_forgotten

    def forget(self, *ids: str, **more: Any) -> Receipt:
        request = Request("ids", "asked by mail", "operator ada", frozenset(ids))
        return forget.forget(self.cloud, "keeper", replace(request, **more))

    def texts(self) -> list[str]:
        return [found.text for found in corpus.read(self.data, "keeper")]

    def bytes_of(self, text: str) -> list[str]:
        """The files on the server's disk, old versions and soft-deleted ones too, that hold it."""
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        assert files
        return [str(file) for file in files if text.encode() in file.read_bytes()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[StorageServer]:
    keeping = Keeping(versions=True, noncurrent_days=1, soft_delete=timedelta(days=14))
    server = StorageServer(folder / "objects", lambda _: keeping)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def world(server: StorageServer, folder: Path, tmp_path: Path) -> Iterator[World]:
    file = tmp_path / "Pulumi.test.yaml"
    file.write_text(STACK_FILE)
    grant = iam.Grant(iam.ALL_USERS, "roles/storage.admin", "projects/test")
    gateway, time = Gateway(0, "test"), [NOW]
    policy = iam.Policy(lambda: [grant], dict)
    api = storage_api.CloudStorage(server, policy, lambda: time[0], lambda attributes, made: None)
    gateway.serve(storage_api.PATH, api.respond, anonymous=True)
    gateway.start()
    client: Any = storage.Client(
        project="test",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": gateway.url},
    )
    for bucket in ("data", "models"):
        server.create_bucket(bucket)
    data, models = (Store(client.bucket(name), timeout=5) for name in ("data", "models"))
    yield World(stack_file.read(file), server, folder, data, models, time)
    client.close()
    gateway.stop()
    for bucket in ("data", "models"):
        server.clear_bucket(bucket)
        server.delete_bucket(bucket)


def tweet(id_: int, text: str, **more: Any) -> Tweet:
    return Tweet(id=str(id_), text=text, created_at=NOW, source="timeline", **more)


# Tweets


def test_a_forgotten_text_is_gone_to_the_last_byte_at_the_promised_time_and_not_later(
    world: World,
) -> None:
    segment = world.collect("timeline-0-newest.jsonl", tweet(1, OTHER), tweet(2, SECRET))
    world.collect("archive-ab-1.jsonl", tweet(2, SECRET, kind="post"))
    history.remember(world.data, "keeper", "20261122T0900Z", SECRET)
    receipt = world.forget("2")
    assert world.texts() == [OTHER]
    assert all(
        SECRET.encode() not in found.data
        for name in world.data.names("")
        if (found := world.data.read(name))
    )
    assert all(version.live for version in world.data.versions(layout.segments("keeper")))
    # Nobody can shorten the time of soft delete.
    gone = max(place.gone for place in receipt.places if place.gone)
    assert gone == NOW + timedelta(days=14, minutes=30)  # a deletion may take half an hour
    assert world.bytes_of(SECRET)
    world.later(days=13, hours=23, minutes=59)
    assert world.bytes_of(SECRET)
    world.later(minutes=31)
    assert world.now() == gone
    assert not world.bytes_of(SECRET)
    assert world.bytes_of(OTHER)
    assert world.data.read(segment)


def test_a_page_keeps_its_name_and_its_ids_so_it_is_not_bought_again(world: World) -> None:
    segment = world.collect("timeline-0-newest.jsonl", tweet(1, SECRET), tweet(2, SECRET))
    world.forget("1", "2")
    found = world.data.read(segment)
    assert found is not None
    lines = [json.loads(line) for line in found.data.splitlines()]
    assert [line.keys() for line in lines] == 2 * [
        {"version", "id", "text", "created_at", "source"}
    ]
    assert [(line["id"], line["text"]) for line in lines] == [("1", ""), ("2", "")]
    assert world.texts() == []


def test_an_edited_tweet_is_forgotten_with_all_of_its_versions(world: World) -> None:
    world.collect("a.jsonl", tweet(1, f"{SECRET}!", edits=("1", "2")), tweet(3, OTHER))
    world.collect("b.jsonl", tweet(2, SECRET, edits=("1", "2")))
    world.forget("1")
    assert world.texts() == [OTHER]
    assert forgotten.ids(world.data, "keeper") == {"1", "2"}
    world.collect("c.jsonl", tweet(4, SECRET, edits=("1", "2", "4")))
    assert world.texts() == [OTHER]


def test_a_tweet_that_comes_back_stays_out_of_the_corpus(world: World) -> None:
    world.collect("a.jsonl", tweet(1, OTHER), tweet(2, SECRET))
    world.forget("2")
    world.collect("b.jsonl", tweet(2, SECRET))
    assert world.texts() == [OTHER]
    # Whoever brought it back did not know of the request. The same command cleans up.
    world.forget("2")
    assert not [v for v in world.data.versions(layout.segments("keeper")) if not v.live]
    world.later(days=14)
    assert not world.bytes_of(SECRET)


def test_a_later_import_does_not_store_a_forgotten_tweet(world: World, tmp_path: Path) -> None:
    file = tmp_path / "mine.zip"
    sample.write(file, "lampkeeper", [(SECRET, NOW), (OTHER, NOW - timedelta(hours=1))])
    import_archive(world.data, "keeper", "lampkeeper", archive.read([file]))
    (secret,) = (t.id for t in corpus.read(world.data, "keeper") if t.text == SECRET)
    world.forget(secret)
    sample.write(
        tmp_path / "more.zip",
        "lampkeeper",
        [(SECRET, NOW), (OTHER, NOW - timedelta(hours=1)), ("New", NOW + timedelta(hours=1))],
    )
    imported = import_archive(
        world.data, "keeper", "lampkeeper", archive.read([tmp_path / "more.zip"])
    )
    assert imported.new == 1
    world.later(days=15)
    assert not world.bytes_of(SECRET)


def test_an_id_that_is_not_held_is_remembered_and_said(world: World) -> None:
    world.collect("a.jsonl", tweet(1, OTHER))
    receipt = world.forget("1", "77")
    assert (receipt.tweets, receipt.not_held) == (1, ["77"])
    world.collect("b.jsonl", tweet(77, SECRET))
    assert world.texts() == []


def test_what_is_remembered_names_no_text(world: World) -> None:
    world.collect("a.jsonl", tweet(2, SECRET))
    world.forget("2")
    remembered = documents.load(world.data, layout.forgotten("keeper"), forgotten.Forgotten)
    assert remembered is not None
    (entry,) = remembered.entries
    assert entry.model_dump() == {
        "ids": ["2"], "at": NOW, "why": "asked by mail", "by": "operator ada"
    }  # fmt: skip


def test_the_receipt_is_stored_without_texts(world: World) -> None:
    world.collect("a.jsonl", tweet(2, SECRET))
    receipt = world.forget("2")
    (name,) = world.data.names(layout.receipts("keeper"))
    assert documents.load(world.data, name, Receipt) == receipt
    assert SECRET not in documents.dump(receipt).decode()


def test_while_somebody_collects_nothing_is_changed(world: World) -> None:
    segment = world.collect("a.jsonl", tweet(2, SECRET))
    before = world.data.read(segment)
    name = layout.collecting("keeper")
    lease.take(world.data, name, Terms(run="exec-1", expires=NOW + timedelta(hours=1)), NOW)
    with pytest.raises(UserError, match=r"run exec-1 has .*forget once that has ended"):
        world.forget("2")
    assert world.data.read(segment) == before
    assert forgotten.ids(world.data, "keeper") == frozenset()
    world.later(hours=1)
    world.forget("2")
    assert world.data.read(name) is None


def test_nobody_collects_while_tweets_are_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.collect("a.jsonl", tweet(2, SECRET))
    tried: list[str] = []
    real = history.forget

    def meanwhile(store: Store, account: str, is_forgotten: Callable[[str], bool]) -> int:
        later = world.now() + timedelta(minutes=29)
        terms = Terms(run="exec-1", expires=later + timedelta(hours=1))
        with pytest.raises(Busy):
            lease.take(store, layout.collecting(account), terms, later)
        tried.append(account)
        return real(store, account, is_forgotten)

    monkeypatch.setattr(history, "forget", meanwhile)
    world.forget("2")
    assert tried == ["keeper"]


# All of it


def test_after_all_is_forgotten_the_account_is_free_for_somebody_else(world: World) -> None:
    world.collect("timeline-0-newest.jsonl", tweet(1, OTHER), tweet(2, SECRET))
    mine = Index(user_id="7", handle="lampkeeper", held=[Range(oldest="0", newest="2")], count=2)
    index.write(world.data, "keeper", mine, generation=0)
    ledger = Ledger(world.data, layout.reads("keeper"), POST_READ * 9, world.now)
    ledger.reserve(POST_READ * 2, 2)
    receipt = world.forget(chosen="all")
    assert receipt.tweets == 2
    assert world.data.names(layout.tweets("keeper")) == [
        layout.forgotten("keeper"),
        layout.reads("keeper"),
    ]
    assert ledger.spent().total == 2
    assert index.read(world.data, "keeper") is None
    other = index.Owner("8", "somebody")
    assert index.of(other, None, "keeper").user_id == "8"
    world.later(days=14)
    assert not world.bytes_of(SECRET)
    assert not world.bytes_of(OTHER)


# Posts


def slot(world: World, name: str, state: Any, text: str, **more: Any) -> None:
    record = Slot(
        state=state, execution="e", nonce="n", at=NOW, expires=NOW, text=text, id="77", **more
    )
    slots.write(world.data, "keeper", name, record, generation=0)


def test_a_post_with_the_same_text_is_forgotten_and_not_posted_again(world: World) -> None:
    world.collect("a.jsonl", tweet(2, f"@harbour_radio {SECRET} https://t.co/a"))
    for name, text in (("20261121T0900Z", OTHER), ("20261122T0900Z", f"{SECRET}!")):
        slot(world, name, "posted", text)
        history.remember(world.data, "keeper", name, text)
    receipt = world.forget("2")
    assert history.texts(world.data, "keeper") == [OTHER]
    assert history.digests(world.data, "keeper") == {*map(history.digest, (OTHER, SECRET))}
    kept, emptied = (
        slots.read(world.data, "keeper", name) for name in ("20261121T0900Z", "20261122T0900Z")
    )
    assert kept is not None
    assert emptied is not None
    assert (kept[0].text, kept[0].reason) == (OTHER, "")
    assert (emptied[0].state, emptied[0].text, emptied[0].id) == ("posted", None, "77")
    assert any("77" in place.held for place in receipt.places)
    world.later(days=14)
    assert not world.bytes_of(SECRET)


@pytest.mark.parametrize(
    ("state", "in_doubt", "then"),
    [
        ("intended", False, "unknown"),
        ("refused", False, "nothing"),
        ("refused", True, "unknown"),
        ("posted", False, "posted"),
    ],
)
def test_a_forgotten_text_that_was_not_posted_yet_never_is(
    world: World, state: str, in_doubt: bool, then: str
) -> None:
    world.collect("a.jsonl", tweet(2, SECRET))
    slot(world, "20261122T0900Z", state, SECRET, in_doubt=in_doubt)
    world.forget("2")
    found = slots.read(world.data, "keeper", "20261122T0900Z")
    assert found is not None
    assert found[0].state == then


def test_a_text_is_found_whatever_its_case_spaces_and_escapes(world: World) -> None:
    world.collect(
        "a.jsonl", tweet(1, OTHER), tweet(2, "At 7 GULL\n lane &amp; Co"), tweet(3, "gulllane")
    )
    slot(world, "20261122T0900Z", "posted", "I love Gull Lane & co")
    found = forget.find(world.cloud, "keeper", "gull lane & co")
    assert [t.id for t in found.tweets] == ["2"]
    assert [name for name, _ in found.posts] == ["20261122T0900Z"]
    world.forget("2", chosen="match", text="gull lane & co")
    with pytest.raises(UserError, match="no tweet or post of keeper holds 'gull lane & co'"):
        forget.find(world.cloud, "keeper", "gull lane & co")


def test_a_reason_must_not_hold_the_text() -> None:
    with pytest.raises(UserError, match="--why is kept"):
        Request("match", "she moved to 7 Gull  lane", "operator ada", text="gull lane")


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_text_matches_nothing(text: str) -> None:
    with pytest.raises(UserError, match="not empty"):
        Request("match", "why", "operator ada", text=text)


# Releases


def test_each_release_that_was_trained_on_it_is_marked_and_no_other(world: World) -> None:
    world.collect("a.jsonl", tweet(2, SECRET))
    world.release(FIRST, "1", held_out=("2",))
    world.release(SECOND, "1", "2")
    world.forget("2")
    assert world.learnt(FIRST) is None
    assert world.learnt(SECOND) == NOW


def test_a_release_that_started_from_a_marked_one_is_marked(world: World) -> None:
    world.release(FIRST, "2")
    world.release(SECOND, "1", warm_start=FIRST)
    world.release(THIRD, "1", warm_start=SECOND)
    world.forget("2")
    assert [world.learnt(tag) for tag in (FIRST, SECOND, THIRD)] == [NOW] * 3


def test_a_release_whose_tweets_are_not_known_counts_as_having_learnt_it(world: World) -> None:
    put(world.models, a_manifest(FIRST))
    world.forget("2")
    assert world.learnt(FIRST) == NOW


def test_an_earlier_mark_stays(world: World) -> None:
    world.release(FIRST, "2")
    world.forget("2")
    world.later(days=1)
    world.forget("3")
    assert world.learnt(FIRST) == NOW


def test_a_release_that_cannot_be_read_is_told_and_hides_no_other(world: World) -> None:
    world.models.write(layout.manifest("keeper", FIRST), b'{"version": 9}', generation=0)
    put(world.models, a_manifest(SECOND))
    damaged = layout.release("keeper", SECOND) + release.DATASET
    world.models.write(damaged, b"{", generation=0)
    world.release(THIRD, "2")
    receipt = world.forget("2")
    for tag in (FIRST, SECOND):
        (place,) = (place for place in receipt.places if tag in place.store)
        assert (place.now, place.gone) == ("not marked", None)
    assert world.learnt(THIRD) == NOW


def test_the_receipt_tells_the_live_release_a_kept_one_and_one_without_weights(
    world: World,
) -> None:
    for tag in (FIRST, SECOND, THIRD):
        world.release(tag, "2")
    world.models.remove(f"{layout.weights('keeper', FIRST)[0]}model.bin")
    release.move_live(world.models, "keeper", THIRD, "test", 0, NOW)
    receipt = world.forget("2")
    without, kept, live = (
        next(place for place in receipt.places if tag in place.store)
        for tag in (FIRST, SECOND, THIRD)
    )
    # Deleted today, an old version for a day and a day of delay, soft-deleted for 30 days.
    assert (without.held, without.gone) == ("no weights any more", NOW + timedelta(days=32))
    assert (kept.now, kept.gone) == ("marked: it can never go live", None)
    assert kept.then.startswith("a training prunes it")
    assert (live.now, live.gone) == ("marked; still live", None)
    assert live.then.startswith("the next training replaces it")


def test_the_receipt_names_a_training_that_is_under_way(world: World) -> None:
    expires = NOW + timedelta(hours=1)
    run_lease.take(world.models, "train-test-first", "machine", expires, world.now)
    (place,) = (p for p in world.forget("2").places if p.store.startswith("disks"))
    assert (place.held, place.gone) == ("run train-test-first may have read them", None)


def test_a_marked_release_never_goes_live_again(world: World) -> None:
    world.release(FIRST, "2")
    world.release(SECOND, "1")
    release.move_live(world.models, "keeper", SECOND, "test", 0, NOW)
    world.forget("2")
    live = release.read_live(world.models, "keeper")
    assert live is not None
    for call in (
        lambda: release.read_whole(world.models, "keeper", FIRST),
        lambda: release.move_live(world.models, "keeper", FIRST, "t", live.generation, NOW),
    ):
        with pytest.raises(release.NotAllowed, match="has learnt tweets that were forgotten"):
            call()
    after = release.read_live(world.models, "keeper")
    assert after is not None
    assert after.document == live.document


# Deletions at X


NEWER = [("Gale at night", NOW + timedelta(hours=2)), (OTHER, NOW + timedelta(hours=1))]


def learn(world: World, older: list[tuple[str, datetime]], folder: Path) -> Receipt | None:
    """Import an archive, then NEWER, and forget what that lacks."""
    for name, texts in (("old.zip", older), ("new.zip", NEWER)):
        sample.write(folder / name, "lampkeeper", texts)
    import_archive(world.data, "keeper", "lampkeeper", archive.read([folder / "old.zip"]))
    read = archive.read([folder / "new.zip"])
    imported = import_archive(world.data, "keeper", "lampkeeper", read)
    if not imported.deleted:
        return None
    return forget.forget_deleted(world.cloud, "keeper", imported, "operator ada")


def test_deletions_learnt_from_a_newer_archive_are_forgotten(world: World, tmp_path: Path) -> None:
    receipt = learn(world, [(SECRET, NOW), NEWER[1]], tmp_path)
    assert receipt is not None
    assert (receipt.tweets, receipt.chosen) == (1, "archive")
    assert receipt.why == "deleted at X, learnt from new.zip"
    assert world.texts() == [OTHER, "Gale at night"]


def test_an_archive_that_lacks_nothing_forgets_nothing(world: World, tmp_path: Path) -> None:
    assert learn(world, NEWER, tmp_path) is None
    assert world.data.names(layout.receipts("keeper")) == []


def test_an_archive_that_lacks_most_of_it_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"new.zip lacks 2 of the 2 tweets that were held"):
        learn(world, [(SECRET, NOW), ("Fog", NOW - timedelta(hours=1))], tmp_path)
    assert len(world.texts()) == 4
