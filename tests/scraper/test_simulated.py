"""The simulation's X and its bucket, beside those of the local cloud: the same calls, same ends."""

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from local.x import Draft, XServer
from pipeline import x
from pipeline.store import PreconditionFailed, Store
from tests.conftest import SEED
from tests.scraper.simulated_bucket import Bucket, Objects
from tests.scraper.simulated_x import HANDLE, USER_ID, Post, X
from tests.scraper.simulation import START


class Both:
    """The simulation's X and the local one, and a person who does the same at both."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.simulated = X(lambda: self.now)
        self.local = XServer(folder, lambda: self.now)
        self.local.start()
        self.local.add_user(HANDLE)

    def write(self, kind: str) -> None:
        facts = {"retweet": {"retweets": "7"}, "reply": {"answers_user": "8"}}.get(kind, {})
        post = self.simulated.write(kind)
        draft = Draft.model_validate({"text": _text(post), "created_at": post.at, **facts})
        assert self.local.write(HANDLE, draft).id == str(post.id)

    def edit(self, post: Post) -> None:
        self.simulated.edit(post)
        newest = self.simulated.visible()[0]
        assert self.local.edit(HANDLE, str(post.id), _text(newest)).id == str(newest.id)

    def delete(self, post: Post) -> None:
        self.simulated.delete(post)
        self.local.delete(HANDLE, str(post.id))

    def _editable(self, post: Post) -> bool:
        recent = self.now - post.at < timedelta(minutes=30)
        return post.kind == "post" and not post.versions and recent

    def live(self, rng: random.Random) -> None:
        """Let the person do something."""
        self.now += timedelta(seconds=rng.randrange(1, 2000))
        posts = self.simulated.visible()
        choice = rng.randrange(8)
        if choice == 0 and posts:
            self.delete(rng.choice(posts))
        elif choice == 1 and posts and self._editable(posts[0]):
            self.edit(posts[0])
        else:
            self.write(rng.choice(["post", "post", "reply", "retweet"]))


def _text(post: Post) -> str:
    return f"{post.kind} {post.id}"


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    both = Both(tmp_path)
    monkeypatch.setenv("X_API_URL", both.local.url)
    yield both
    both.local.stop()


def pages(ask: Callable[..., Any], user_id: str, **asked: Any) -> list[Any]:
    """All pages, with the tokens of the next ones left out."""
    found: list[Any] = []
    token: str | None = None
    while not found or token:
        page = ask(user_id, pagination_token=token, **asked)
        token = page["meta"].pop("next_token", None)
        found.append([page, token is not None])
    return found


def test_the_simulated_x_shows_and_sells_what_the_local_one_does(both: Both) -> None:
    rng = random.Random(SEED)
    client: Any = x.client(both.local.bearer())
    user_id = both.local.user_id(HANDLE)
    for _ in range(40):
        for _ in range(rng.randrange(6)):
            both.live(rng)
        ids = [*both.simulated.posts, 0]
        asked: dict[str, Any] = {
            "since_id": rng.choice([None, str(rng.choice(ids) + 1)]),
            "until_id": rng.choice([None, str(rng.choice(ids) + 1)]),
            "max_results": rng.choice([5, 10, 100]),
            "exclude": rng.choice([[], ["retweets"]]),
            "tweet_fields": ["created_at", "in_reply_to_user_id"],
        }
        shown = pages(both.simulated.get_users_tweets, USER_ID, **asked)
        asked["exclude"] = asked["exclude"] or None
        assert pages(client.get_users_tweets, user_id, **asked) == shown
    local = client.get_user(username=HANDLE, user_fields=["public_metrics"])["data"]
    simulated = both.simulated.get_user(username=HANDLE)["data"]
    counts = [user["public_metrics"]["tweet_count"] for user in (local, simulated)]
    assert counts[0] == counts[1] > 50
    sold: dict[str, Any] = dict(both.local.counts()[HANDLE])
    assert sold["posts_sent"] == both.simulated.sent.total() > sold["posts_read"]
    assert sold["posts_read"] == both.simulated.billed > 50
    assert Decimal(sold["usd"]) * 1000 == both.simulated.bills.total()


def made(store: Store, kind: str, name: str, data: bytes, generation: int) -> Any:
    """What comes of a call."""
    try:
        match kind:
            case "write":
                return store.write(name, data, generation=generation)
            case "delete":
                return store.delete(name, generation=generation)
            case "names":
                return store.names("")
            case _:
                found = store.read(name)
                return found and found.data
    except PreconditionFailed as error:
        return f"refused: {error}"


def test_the_simulated_bucket_takes_and_refuses_what_the_local_one_does(store: Store) -> None:
    rng = random.Random(SEED)
    simulated = Store(cast("Any", Bucket(Objects(), lambda _, call: call())))
    generations: dict[str, list[tuple[int, int]]] = {name: [(0, 0)] for name in "abc"}
    ends: set[str] = set()
    for step in range(200):
        name = rng.choice("abc")
        kind = rng.choice(["read", "write", "delete", "names"])
        data = rng.choice([b"same", b"%d" % step])
        known = rng.choice(generations[name][-2:])
        one = made(store, kind, name, data, known[0])
        other = made(simulated, kind, name, data, known[1])
        if isinstance(one, int) and isinstance(other, int):
            generations[name].append((one, other))
            one = other = "taken"
        assert one == other, f"{kind} {name} at step {step}"
        ends.add(f"{kind}: {str(one)[:7]}")
    assert {"write: taken", "write: refused", "delete: None", "delete: refused"} <= ends
