"""What `bots import` stores: once, of one person, whatever happens meanwhile."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bots import imports
from bots.imports import Imported, import_archive, owner, report
from pipeline import archive, corpus, index, layout
from pipeline.errors import UserError
from pipeline.index import Index, Owner
from pipeline.store import Store
from pipeline.tweets import Tweet, to_jsonl
from tests.pipeline.archives import ACCOUNT, AT, KEEPER, entry, js, tweets_js, zipped
from tests.trainer.steps import Bucket, Killed, Steps


def the_archive(path: Path, *tweets: dict[str, Any], account: str = ACCOUNT) -> Path:
    files = {"data/tweets.js": tweets_js(*tweets), "data/account.js": account}
    return zipped(path / f"{len(list(path.iterdir()))}.zip", files)


def entries(*numbers: int) -> list[dict[str, Any]]:
    return [entry(n, f"Log {n}: fog.", AT + timedelta(hours=n)) for n in numbers]


def bring(
    store: Store, path: Path, said: Owner | None = None, handle: str = "keeper", **options: Any
) -> Imported:
    return import_archive(store, "keeper", handle, archive.read([path], said), **options)


def held(bucket: Bucket) -> list[str]:
    return [tweet.id for tweet in corpus.read(Steps(bucket), "keeper")]


def the_index(bucket: Bucket) -> Index:
    stored = index.read(Steps(bucket), "keeper")
    assert stored is not None
    return stored.document


def counts(imported: Imported) -> tuple[int, int, list[int]]:
    return imported.new, imported.improved, imported.deleted


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def test_an_import_stores_the_tweets_their_owner_and_how_far_they_reach(
    tmp_path: Path, bucket: Bucket
) -> None:
    retweet = entry(9, "RT @baker: bread")
    imported = bring(Steps(bucket), the_archive(tmp_path, retweet, *entries(8, 7, 5)))
    assert counts(imported) == (3, 0, [])
    assert held(bucket) == ["5", "7", "8"]
    found = the_index(bucket)
    assert (found.user_id, found.handle, found.count) == ("77", "keeper", 0)
    assert [(gap.since, gap.until) for gap in found.gaps()] == [(9, None)]
    assert corpus.collected(Steps(bucket), "keeper").tweets == 3


def test_importing_again_stores_nothing(tmp_path: Path, bucket: Bucket) -> None:
    path = the_archive(tmp_path, *entries(1, 2))
    bring(Steps(bucket), path)
    objects = dict(bucket.objects)
    again = bring(Steps(bucket), path)
    assert counts(again) == (0, 0, [])
    assert bucket.objects == objects


def test_a_newer_archive_adds_what_is_new(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_SEGMENT", 2)
    bring(Steps(bucket), the_archive(tmp_path, *entries(1, 2, 3)))
    later = bring(Steps(bucket), the_archive(tmp_path, *entries(1, 2, 3, 4, 5, 6)))
    assert counts(later) == (3, 0, [])
    assert held(bucket) == ["1", "2", "3", "4", "5", "6"]
    assert corpus.collected(Steps(bucket), "keeper").tweets == 6
    assert the_index(bucket).newest_id == "6"


def test_a_better_reader_improves_what_is_held(tmp_path: Path, bucket: Bucket) -> None:
    """The first program kept an id, a text and a time, and named the segment after the zip."""
    first = [
        Tweet(version=1, id=str(n), text=f"Log {n}: fog.", created_at=AT, source="archive")
        for n in (1, 2)
    ]
    name = layout.archive_segment("keeper", "a" * 64, 2)
    Steps(bucket).write(name, to_jsonl(first), generation=0)
    answer = entries(1)[0] | {"in_reply_to_user_id_str": "77"}
    path = the_archive(tmp_path, answer, *entries(2))
    assert counts(bring(Steps(bucket), path)) == (0, 2, [])
    assert [tweet.kind for tweet in corpus.read(Steps(bucket), "keeper")] == ["thread", "post"]
    assert corpus.collected(Steps(bucket), "keeper").tweets == 2
    assert counts(bring(Steps(bucket), path)) == (0, 0, [])


def test_what_a_timeline_holds_is_not_new(tmp_path: Path, bucket: Bucket) -> None:
    bought = Tweet(id="2", text="Log 2: fog.", created_at=AT, source="timeline", kind="post")
    name = layout.timeline_segment("keeper", None, None)
    Steps(bucket).write(name, to_jsonl([bought]), generation=0)
    timeline = Index(user_id="77", handle="keeper").covering(2, 2, count=1)
    index.write(Steps(bucket), "keeper", timeline, generation=0)
    imported = bring(Steps(bucket), the_archive(tmp_path, *entries(1, 2, 3)))
    assert counts(imported) == (2, 0, [])
    assert (the_index(bucket).count, the_index(bucket).newest_id) == (1, "3")


def test_a_dry_run_stores_nothing_and_says_the_same(tmp_path: Path, bucket: Bucket) -> None:
    path = the_archive(tmp_path, *entries(1, 2))
    dry = bring(Steps(bucket), path, dry_run=True)
    assert bucket.objects == {}
    said = list(report(dry, dry_run=True))
    assert said.pop() == "nothing was stored, as --dry-run asks"
    assert said == list(report(bring(Steps(bucket), path), dry_run=False))
    with pytest.raises(UserError, match="is the archive of @keeper, not of @baker"):
        bring(Steps(Bucket()), path, handle="baker", dry_run=True)


@pytest.mark.parametrize("name", ["tweets.js", "lines.txt"])
def test_what_may_not_be_all_leaves_the_timeline_to_be_collected(
    tmp_path: Path, bucket: Bucket, name: str
) -> None:
    (tmp_path / name).write_text(tweets_js(*entries(1, 2)))
    bring(Steps(bucket), tmp_path / name, KEEPER)
    assert held(bucket)
    assert [(gap.since, gap.until) for gap in the_index(bucket).gaps()] == [(0, None)]


# Whose


BAKER = 'window.YTD.account.part0 = [{"account": {"username": "baker", "accountId": "5"}}]'
RENAMED = 'window.YTD.account.part0 = [{"account": {"username": "lampkeeper", "accountId": "77"}}]'


def test_a_second_person_is_refused_with_the_ways_out(tmp_path: Path, bucket: Bucket) -> None:
    bring(Steps(bucket), the_archive(tmp_path, *entries(1)))
    objects = dict(bucket.objects)
    foreign = the_archive(tmp_path, *entries(2), account=BAKER)
    for handle in ("keeper", "baker"):
        with pytest.raises(UserError, match=r"@keeper \(user id 77\), .* of @baker \(user id 5\)"):
            bring(Steps(bucket), foreign, handle=handle)
    assert bucket.objects == objects


def test_who_has_another_handle_now_is_known_by_their_id(tmp_path: Path, bucket: Bucket) -> None:
    bring(Steps(bucket), the_archive(tmp_path, *entries(1)))
    bring(Steps(bucket), the_archive(tmp_path, *entries(1, 2), account=RENAMED))
    assert held(bucket) == ["1", "2"]
    assert (the_index(bucket).user_id, the_index(bucket).handle) == ("77", "lampkeeper")


def test_an_archive_from_before_a_new_handle_is_taken_if_its_owner_is_said(
    tmp_path: Path, bucket: Bucket
) -> None:
    path = the_archive(tmp_path, *entries(1))
    with pytest.raises(UserError, match=r"not of @lamp; .* add `--owner lamp:77`"):
        bring(Steps(bucket), path, handle="lamp")
    assert bucket.objects == {}
    bring(Steps(bucket), path, owner("lamp:77"), handle="lamp")
    assert the_index(bucket).handle == "lamp"


@pytest.mark.parametrize("text", ["keeper", "@keeper", "keeper:77"])
def test_an_owner_is_said_as_a_handle_with_or_without_an_id(text: str) -> None:
    assert owner(text) == Owner("77" if ":" in text else None, "keeper")


@pytest.mark.parametrize("text", ["@", "a b", "keeper:", "keeper:x", ":77", "keeper:77:8", "é"])
def test_an_owner_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        owner(text)


# Crashes and rivals


def the_calls(make: Callable[[Store], object]) -> int:
    calls: list[None] = []
    make(Steps(Bucket(), lambda: calls.append(None)))
    return len(calls)


def at_call(number: int, act: Callable[[], object]) -> Callable[[], None]:
    """A step that acts before one of the calls."""
    numbers: Iterator[int] = iter(range(1_000_000))

    def step() -> None:
        if next(numbers) == number:
            act()

    return step


def killed() -> None:
    raise Killed


def test_an_import_that_was_killed_anywhere_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_SEGMENT", 2)
    path = the_archive(tmp_path, *entries(1, 2, 3, 4, 5))
    whole = Bucket()
    bring(Steps(whole), path)
    calls = the_calls(lambda store: bring(store, path))
    assert calls > 8
    for call in range(calls):
        bucket = Bucket()
        with pytest.raises(Killed):
            bring(Steps(bucket, at_call(call, killed)), path)
        bring(Steps(bucket), path)
        assert held(bucket) == held(whole)
        assert the_index(bucket) == the_index(whole)
        assert corpus.collected(Steps(bucket), "keeper").tweets == 5


def test_two_imports_at_once_store_each_tweet_once(tmp_path: Path) -> None:
    path = the_archive(tmp_path, *entries(1, 2, 3))
    for call in range(the_calls(lambda store: bring(store, path))):
        bucket = Bucket()
        bring(Steps(bucket, at_call(call, lambda b=bucket: bring(Steps(b), path))), path)
        assert held(bucket) == ["1", "2", "3"]
        assert corpus.collected(Steps(bucket), "keeper").tweets == 3
        assert the_index(bucket).newest_id == "3"


def test_of_two_people_at_once_one_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    keepers = the_archive(tmp_path, *entries(1, 2))
    bakers = the_archive(tmp_path, *entries(11, 12), account=BAKER)
    for call in range(the_calls(lambda store: bring(store, keepers))):
        bucket = Bucket()
        refused: list[str] = []

        def rival(bucket: Bucket = bucket, refused: list[str] = refused) -> None:
            try:
                bring(Steps(bucket), bakers, handle="baker")
            except UserError:
                refused.append("baker")

        try:
            bring(Steps(bucket, at_call(call, rival)), keepers)
        except UserError:
            refused.append("keeper")
        assert len(refused) == 1
        assert held(bucket) == (["1", "2"] if refused == ["baker"] else ["11", "12"])


# Deletions


def test_what_a_newer_archive_lacks_was_deleted(tmp_path: Path, bucket: Bucket) -> None:
    bring(Steps(bucket), the_archive(tmp_path, *entries(1, 2, 3, 4)))
    odd = entry(2, None)
    newer = bring(Steps(bucket), the_archive(tmp_path, odd, *entries(1, 4, 5)))
    assert newer.deleted == [3]
    assert "  deleted on X since, and so to be forgotten: 1 (3)" in report(newer, dry_run=False)


def test_an_older_archive_says_nothing_of_later_tweets(tmp_path: Path, bucket: Bucket) -> None:
    bring(Steps(bucket), the_archive(tmp_path, *entries(1, 2, 3, 4)))
    assert bring(Steps(bucket), the_archive(tmp_path, *entries(1, 2))).deleted == []


def test_a_retweet_that_a_timeline_holds_was_not_deleted(tmp_path: Path, bucket: Bucket) -> None:
    bought = Tweet(id="2", text="RT @a: b", created_at=AT, source="timeline", kind="retweet")
    name = layout.timeline_segment("keeper", None, None)
    Steps(bucket).write(name, to_jsonl([bought]), generation=0)
    imported = bring(Steps(bucket), the_archive(tmp_path, entry(2, "RT @a: b"), *entries(1, 3)))
    assert imported.deleted == []


def test_an_outdated_version_was_not_deleted(tmp_path: Path, bucket: Bucket) -> None:
    bring(Steps(bucket), the_archive(tmp_path, *entries(1)))
    versions = {"editTweetIds": ["1", "2"]}
    both = [
        one | {"edit_info": {"edit": {"editControlInitial": versions}}} for one in entries(1, 2)
    ]
    assert bring(Steps(bucket), the_archive(tmp_path, *both)).deleted == []


def test_what_x_lists_as_deleted_was_deleted(tmp_path: Path, bucket: Bucket) -> None:
    bring(Steps(bucket), the_archive(tmp_path, *entries(1, 2)))
    files = {
        "data/tweets.js": tweets_js(*entries(1, 2)),
        "data/deleted-tweets.js": js("YTD.deleted_tweets.part0", [{"tweet": entries(2)[0]}]),
        "data/account.js": ACCOUNT,
    }
    assert bring(Steps(bucket), zipped(tmp_path / "later.zip", files)).deleted == [2]
