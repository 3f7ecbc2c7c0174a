"""The state of X, which survives restarts: users, posts, credentials and sales."""

import secrets
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from local.x.journal import Journal
from pipeline.clock import Clock
from pipeline.spend import POST_CREATE, POST_READ, USER_READ

Sale = Literal["posts_read", "user_reads", "posts_created", "links_created"]

# US dollars for one; a post with a link costs 0.20 in total.
# Source: https://docs.x.com/x-api/getting-started/pricing
PRICES: dict[Sale, Decimal] = {
    "posts_read": POST_READ,
    "user_reads": USER_READ,
    "posts_created": POST_CREATE,
    "links_created": Decimal("0.20") - POST_CREATE,
}

# Ids are snowflakes: milliseconds since this time, then 22 bits for posts of one millisecond.
_EPOCH = datetime(2010, 11, 4, 1, 42, 54, 657000, tzinfo=UTC)


class User(BaseModel, frozen=True):
    """One user; X finds a `handle` whatever its case."""

    id: str
    handle: str
    protected: bool = False
    suspended: bool = False


class Post(BaseModel, frozen=True):
    """One post; `automated` if it was made through the API."""

    id: str
    user_id: str
    text: str
    created_at: datetime
    automated: bool = False


class Keys(BaseModel, frozen=True):
    """The OAuth 1.0a credentials with which an app acts for a user."""

    user_id: str
    api_key: str
    api_secret: str
    access_token: str
    access_token_secret: str


class _Sold(BaseModel, frozen=True):
    handle: str
    sale: Sale
    count: int


class _Bearer(BaseModel, frozen=True):
    token: str


class State:
    """The whole state; each method is atomic."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._lock = threading.RLock()
        self._user_file = Journal(folder / "users.jsonl", User)
        self._post_file = Journal(folder / "posts.jsonl", Post)
        self._keys_file = Journal(folder / "keys.jsonl", Keys)
        self._bearer_file = Journal(folder / "bearer.jsonl", _Bearer)
        self._sold_file = Journal(folder / "sold.jsonl", _Sold)
        self._users = {user.id: user for user in self._user_file.read()}
        self._posts: dict[str, dict[int, Post]] = defaultdict(dict)
        self._ids: set[int] = {int(user) for user in self._users}
        for post in self._post_file.read():
            self._take(post)
        self._keys = self._keys_file.read()
        self._bearers = self._bearer_file.read()
        self._sold: dict[str, dict[Sale, int]] = defaultdict(_nothing_sold)
        for sold in self._sold_file.read():
            self._sold[sold.handle][sold.sale] += sold.count

    def now(self) -> datetime:
        """X's time."""
        return self._clock()

    def put_user(self, handle: str, *, protected: bool, suspended: bool) -> User:
        """Create a user, or change the one with that handle."""
        with self._lock:
            held = self.by_handle(handle)
            id_ = held.id if held else str(self._new_id(_EPOCH + timedelta(days=1)))
            user = User(id=id_, handle=handle, protected=protected, suspended=suspended)
            if user != held:
                self._users[user.id] = user
                self._user_file.add(user)
            return user

    def users(self) -> list[User]:
        """All users, by handle."""
        with self._lock:
            return sorted(self._users.values(), key=lambda user: user.handle.lower())

    def by_handle(self, handle: str) -> User | None:
        """The user of a handle."""
        fitting = (user for user in self.users() if user.handle.lower() == handle.lower())
        return next(fitting, None)

    def by_id(self, id_: str) -> User | None:
        """The user of an id."""
        return self._users.get(id_)

    def posts(self, user: User) -> list[Post]:
        """All posts of a user, newest first."""
        with self._lock:
            held = self._posts[user.id]
            return [held[id_] for id_ in sorted(held, reverse=True)]

    def put_posts(self, user: User, posts: Iterable[tuple[str, datetime]]) -> None:
        """Add posts of the past, except those that exist with the same text and time."""
        with self._lock:
            held = {(post.text, post.created_at) for post in self._posts[user.id].values()}
            for text, at in sorted(posts, key=lambda post: post[1]):
                if (text, at) not in held:
                    self._add(user, text, at, automated=False)

    def post(self, user: User, text: str) -> Post | None:
        """Post a text now; returns None if the user has posted it before."""
        with self._lock:
            if any(post.text == text for post in self._posts[user.id].values()):
                return None
            return self._add(user, text, self.now(), automated=True)

    def bearer(self) -> str:
        """The app's bearer token."""
        with self._lock:
            if not self._bearers:
                self._bearers.append(_Bearer(token=f"AAAAAAAAAAAAAAAAAAAAA{secrets.token_hex(24)}"))
                self._bearer_file.add(self._bearers[0])
            return self._bearers[0].token

    def issue_keys(self, user: User) -> Keys:
        """Make four new keys for a user; older ones stay valid."""
        keys = Keys(
            user_id=user.id,
            api_key=secrets.token_hex(12),
            api_secret=secrets.token_hex(25),
            access_token=f"{user.id}-{secrets.token_hex(20)}",
            access_token_secret=secrets.token_hex(22),
        )
        with self._lock:
            self._keys.append(keys)
            self._keys_file.add(keys)
        return keys

    def keys(self, access_token: str) -> Keys | None:
        """The keys that an access token belongs to."""
        with self._lock:
            return next((keys for keys in self._keys if keys.access_token == access_token), None)

    def sell(self, user: User, sale: Sale, count: int) -> None:
        """Record a sale."""
        if count:
            with self._lock:
                self._sold[user.handle][sale] += count
                self._sold_file.add(_Sold(handle=user.handle, sale=sale, count=count))

    def sold(self) -> dict[str, dict[Sale, int]]:
        """What was sold, by the handle of the user it belongs to."""
        with self._lock:
            return {handle: dict(sales) for handle, sales in self._sold.items()}

    def _add(self, user: User, text: str, at: datetime, *, automated: bool) -> Post:
        at = at.astimezone(UTC)
        id_ = self._new_id(at)
        if automated:
            # A new post's id is above all earlier ones, even within the same millisecond.
            id_ = max(id_, max(self._posts[user.id], default=0) + 1)
        post = Post(id=str(id_), user_id=user.id, text=text, created_at=at, automated=automated)
        self._post_file.add(post)
        self._take(post)
        return post

    def _take(self, post: Post) -> None:
        self._posts[post.user_id][int(post.id)] = post
        self._ids.add(int(post.id))

    def _new_id(self, at: datetime) -> int:
        id_ = (at - _EPOCH) // timedelta(milliseconds=1) << 22
        while id_ in self._ids:
            id_ += 1
        self._ids.add(id_)
        return id_


def price(sales: Mapping[Sale, int]) -> Decimal:
    """US dollars for what was sold."""
    return sum((PRICES[sale] * count for sale, count in sales.items()), Decimal(0))


def _nothing_sold() -> dict[Sale, int]:
    return dict.fromkeys(PRICES, 0)
