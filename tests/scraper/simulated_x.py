"""X with one user in memory, which sells as the local X does. Its methods are those of tweepy."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pipeline import prices

HANDLE, USER_ID = "keeper_of_light", "783214"

_EPOCH = datetime(2010, 11, 4, 1, 42, 54, 657000, tzinfo=UTC)


@dataclass(frozen=True)
class Post:
    """One post; `versions` has the ids of the versions before this one."""

    id: int
    at: datetime
    kind: str = "post"
    versions: tuple[int, ...] = ()

    @property
    def wanted(self) -> bool:
        """Whether it should be held: a retweet is somebody else's, and the bot's own is known."""
        return self.kind not in ("retweet", "own")


class X:
    """X with one user; sells as the local X does, and notes to whom it sent what.

    `shown` is how many posts a timeline shows, `page` how many it sends at once.
    """

    def __init__(self, now: Callable[[], datetime], shown: int = 3200, page: int = 100) -> None:
        self._now = now
        self._shown = shown
        self._page = page
        self.posts: dict[int, Post] = {}
        self.bills: Counter[str] = Counter()  # months of UTC, in thousandths of a dollar
        self.billed = 0  # posts
        self.sent: Counter[int] = Counter()
        self.fallen: set[int] = set()  # posts that were once too old to be shown
        self._bought: set[tuple[str, str]] = set()
        self._last = 0

    def write(self, kind: str = "post", versions: tuple[int, ...] = ()) -> Post:
        """Let the user post now."""
        at = self._now()
        self._last = max((at - _EPOCH) // timedelta(milliseconds=1) << 22, self._last + 1)
        post = self.posts[self._last] = Post(self._last, at, kind, versions)
        return post

    def edit(self, post: Post) -> None:
        """Let the user replace a post by a version with a new id."""
        del self.posts[post.id]
        self.write(post.kind, (*post.versions, post.id))

    def delete(self, post: Post) -> None:
        """Let the user delete a post."""
        del self.posts[post.id]

    def visible(self) -> list[Post]:
        """What the timeline shows, newest first."""
        return [self.posts[id_] for id_ in sorted(self.posts, reverse=True)[: self._shown]]

    def get_user(self, *, username: str, **_: Any) -> dict[str, Any]:
        """Look the user up; as tweepy's method."""
        assert username.lower() == HANDLE
        self._sell([("user", USER_ID)], prices.USER_READ)
        metrics = {"tweet_count": len(self.posts)}
        return {
            "data": {"id": USER_ID, "name": HANDLE, "username": HANDLE, "public_metrics": metrics}
        }

    def get_users_tweets(
        self,
        user_id: str,
        *,
        since_id: str | None = None,
        until_id: str | None = None,
        max_results: int = 10,
        pagination_token: str | None = None,
        exclude: Iterable[str] = (),
        **_: Any,
    ) -> dict[str, Any]:
        """A page of the timeline; as tweepy's method."""
        assert user_id == USER_ID
        assert 5 <= max_results <= 100
        assert set(exclude) <= {"retweets"}
        size = min(max_results, self._page)
        below = min(int(limit) for limit in (until_id, pagination_token, 10**19) if limit)
        visible = self.visible()
        self.fallen.update(self.posts.keys() - {post.id for post in visible})
        wanted = [post for post in visible if int(since_id or 0) < post.id < below]
        left_out = "retweet" if "retweets" in exclude else None
        page = [post for post in wanted[:size] if post.kind != left_out]
        self._sell([("post", str(post.id)) for post in page], prices.POST_READ)
        self.sent.update(post.id for post in page)
        meta: dict[str, Any] = {"result_count": len(page)}
        if page:
            meta |= {"newest_id": str(page[0].id), "oldest_id": str(page[-1].id)}
        if len(wanted) > size:
            meta["next_token"] = str(wanted[size - 1].id)
        return {**({"data": [_json(post) for post in page]} if page else {}), "meta": meta}

    def _sell(self, things: list[tuple[str, str]], usd: Decimal) -> None:
        """Charge for what was not bought today."""
        day = f"{self._now():%Y-%m-%d}"
        new = {(day, f"{kind} {id_}") for kind, id_ in things} - self._bought
        self._bought |= new
        self.bills[day[:7]] += int(len(new) * usd * 1000)
        self.billed += len(new) if usd == prices.POST_READ else 0


def _json(post: Post) -> dict[str, Any]:
    return {
        "id": str(post.id),
        "text": f"{post.kind} {post.id}",
        "created_at": post.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "edit_history_tweet_ids": [str(id_) for id_ in (*post.versions, post.id)],
        **({"in_reply_to_user_id": "8"} if post.kind == "reply" else {}),
    }
