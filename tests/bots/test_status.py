"""What `bots status` costs and shows, however old an account is."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from bots import show
from bots.cloud import Cloud
from bots.status import NEWEST_RELEASES, NEWEST_SLOTS, AccountStatus, Status, gather
from pipeline import index, last_collection, layout, release, slots
from pipeline.index import Index, Range
from pipeline.prices import POST_CREATE
from pipeline.slots import Slot
from pipeline.spend import Ledger
from stacks import stack_file
from stacks.config import Stack
from tests.trainer.steps import Bucket, Counting
from tests.trainer.test_release import a_manifest, put

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
STACK_FILE = """\
config:
  gcp:project: some-bots
  gcp:region: europe-west4
  gpt2-bots:accounts:
    keeper: {handle: lampkeeper, source: archive, consent: made up, post: "0 9 * * *"}
"""


@dataclass
class FakeCloud:
    """A stack at Google, whose buckets are in memory."""

    stack: Stack
    data: Counting
    models: Counting
    local: None = None

    def of(self, account: str) -> "FakeCloud":
        return self

    def now(self) -> datetime:
        return NOW

    @property
    def read(self) -> int:
        """How many objects were read."""
        return len(self.data.read_names) + len(self.models.read_names)

    def gather(self) -> Status:
        return gather(cast("Cloud", self))

    @property
    def keeper(self) -> AccountStatus:
        return self.gather()["accounts"]["keeper"]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    file = tmp_path / "Pulumi.test.yaml"
    file.write_text(STACK_FILE)
    return stack_file.read(file)


def tag(number: int) -> str:
    return release.tag(NOW - timedelta(days=1000 - number), "0123456789")


def slot(number: int) -> str:
    return slots.name(NOW - timedelta(hours=5000 - number))


def a_cloud(stack: Stack, *, age: int, live: int = 0) -> FakeCloud:
    """An account after `age` releases, `10 * age` slots and `age` collections; `live` is live."""
    cloud = FakeCloud(stack, Counting(Bucket()), Counting(Bucket()))
    for number in range(age):
        put(cloud.models, a_manifest(tag(number)))
        segment = f"{layout.segments('keeper')}timeline-{number}-newest.jsonl"
        cloud.data.write(segment, b"", generation=0)
    release.move_live(cloud.models, "keeper", tag(live), "test", 0, NOW)
    for number in range(10 * age):
        record = Slot(
            state="posted" if number % 10 else "nothing",
            execution="e",
            nonce="n",
            at=NOW,
            expires=NOW,
            text=f"post {number}",
            id=str(number),
        )
        slots.write(cloud.data, "keeper", slot(number), record, generation=0)
    posted = Ledger(cloud.data, layout.spent("keeper"), POST_CREATE * 9 * age, lambda: NOW)
    posted.reserve(POST_CREATE * 9 * age, 9 * age)
    collected = Index(
        user_id="1", handle="lampkeeper", held=[Range(oldest="0", newest="77")], count=600
    )
    index.write(cloud.data, "keeper", collected, generation=0)
    for digest, new in (("a" * 64, 60), ("b" * 64, 15)):
        cloud.data.write(layout.archive_segment("keeper", digest, new), b"", generation=0)
    cloud.data.read_names.clear()
    cloud.models.read_names.clear()
    return cloud


def test_an_old_account_costs_as_many_reads_as_a_young_one(stack: Stack) -> None:
    young, old = a_cloud(stack, age=NEWEST_RELEASES + 1), a_cloud(stack, age=300)
    young.gather()
    old.gather()
    assert old.read == young.read <= NEWEST_RELEASES + NEWEST_SLOTS + 5


def test_totals_count_what_is_not_read(stack: Stack) -> None:
    keeper = a_cloud(stack, age=300).keeper
    assert keeper["releases_total"] == 300
    assert keeper["posts_bought"] == 2700
    assert (keeper["tweets"], keeper["newest_id"]) == (675, "77")


def test_the_newest_releases_are_listed_and_the_live_one_whatever_its_age(stack: Stack) -> None:
    newest = [tag(number) for number in range(300 - NEWEST_RELEASES, 300)]
    listed = a_cloud(stack, age=300, live=7).keeper["releases"]
    assert [shown["tag"] for shown in listed] == [tag(7), *newest]
    assert [shown["live"] for shown in listed] == [True] + [False] * NEWEST_RELEASES
    listed = a_cloud(stack, age=300, live=299).keeper["releases"]
    assert [shown["tag"] for shown in listed] == newest


def test_the_newest_slots_are_listed_with_and_without_a_post(stack: Stack) -> None:
    keeper = a_cloud(stack, age=300).keeper
    numbers = range(3000 - NEWEST_SLOTS, 3000)
    assert [post["slot"] for post in keeper["posts"]] == [slot(n) for n in numbers if n % 10]
    assert [s["slot"] for s in keeper["without_post"]] == [slot(n) for n in numbers if not n % 10]


def test_the_table_shows_totals(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    show.status(a_cloud(stack, age=300).gather())
    shown: Any = capsys.readouterr().out
    for total in ("675", "300", "2700"):
        assert total in shown


def test_an_account_without_anything_is_shown_as_such(stack: Stack) -> None:
    keeper = FakeCloud(stack, Counting(Bucket()), Counting(Bucket())).keeper
    assert keeper["releases"] == keeper["posts"] == keeper["without_post"] == []
    assert (keeper["tweets"], keeper["newest_id"], keeper["releases_total"]) == (0, None, 0)


def collecting(stack: Stack, **changes: Any) -> Any:
    """Of a cloud in which `keeper`'s timeline is collected."""
    account = stack.accounts["keeper"].model_copy(
        update={"source": "timeline", "collect": "0 5 * * *", **changes}
    )
    accounts = {**stack.accounts, "keeper": account}
    return FakeCloud(
        stack.model_copy(update={"accounts": accounts}), Counting(Bucket()), Counting(Bucket())
    )


def test_what_stops_collecting_is_shown_with_what_mends_it(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud = collecting(stack)
    last_collection.succeeded(cloud.data, "keeper", NOW)
    assert cloud.keeper["collecting"]["state"] is None
    last_collection.stopped(cloud.data, "keeper", "no credits", "buy some", NOW)
    found = cloud.keeper["collecting"]
    assert (found["state"], found["reason"], found["since"]) == (
        "no credits",
        "buy some",
        NOW.isoformat(),
    )
    assert found["last_success"] == NOW.isoformat()
    show.status(cloud.gather())
    shown = capsys.readouterr().out
    for text in ("collecting has stopped", "no credits", "buy some"):
        assert text in shown


@pytest.mark.parametrize(("read_with", "usd"), [("bearer", "16.000"), ("keys", "3.200")])
def test_the_cost_of_an_unfinished_first_collection_is_shown(
    stack: Stack, capsys: pytest.CaptureFixture[str], read_with: str, usd: str
) -> None:
    cloud = collecting(stack, read_with=read_with)
    assert cloud.keeper["collecting"]["back_fill_usd"] == usd
    show.status(cloud.gather())
    assert f"${usd}" in capsys.readouterr().out
    some = Index(user_id="1", handle="h").covering(1000, 1999, 1200)
    index.write(cloud.data, "keeper", some, generation=0)
    rest = {"bearer": "10.000", "keys": "2.000"}[read_with]
    assert cloud.keeper["collecting"]["back_fill_usd"] == rest
    stored = index.read(cloud.data, "keeper")
    assert stored is not None
    index.write(cloud.data, "keeper", some.covering(1, 999), generation=stored.generation)
    assert cloud.keeper["collecting"]["back_fill_usd"] is None
