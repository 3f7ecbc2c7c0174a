"""The state of X, which survives restarts: users, posts, credentials and sales."""

import secrets
import threading
from collections.abc import Container, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from local.records import Records
from pipeline.clock import Clock
from pipeline.prices import POST_CREATE, POST_READ, USER_READ

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


class _Sales(BaseModel, frozen=True):
    """How many of each were sold, of what belongs to one user."""

    handle: str
    counts: dict[Sale, int]


class _Bearer(BaseModel, frozen=True):
    token: str


class State:
    """The whole state; each method is atomic."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._users = Records(folder / "users.json", User)
        self._posts = Records(folder / "posts.json", Post)
        self._keys = Records(folder / "keys.json", Keys)  # by access token
        self._bearer = Records(folder / "bearer.json", _Bearer)
        self._sales = Records(folder / "sales.json", _Sales)  # by handle

    def now(self) -> datetime:
        """X's time."""
        return self._clock()

    def put_user(self, handle: str, *, protected: bool, suspended: bool) -> User:
        """Create a user, or change the one with that handle."""
        with self._lock:
            held = self.by_handle(handle)
            id_ = held.id if held else str(self._new_id(_EPOCH + timedelta(days=1)))
            user = User(id=id_, handle=handle, protected=protected, suspended=suspended)
            self._users.put(user.id, user)
            return user

    def users(self) -> list[User]:
        """All users, by handle."""
        return sorted(self._users.all(), key=lambda user: user.handle.lower())

    def by_handle(self, handle: str) -> User | None:
        """The user of a handle."""
        fitting = (user for user in self.users() if user.handle.lower() == handle.lower())
        return next(fitting, None)

    def by_id(self, id_: str) -> User | None:
        """The user of an id."""
        return self._users.get(id_)

    def posts(self, user: User) -> list[Post]:
        """All posts of a user, newest first."""
        held = (post for post in self._posts.all() if post.user_id == user.id)
        return sorted(held, key=lambda post: int(post.id), reverse=True)

    def put_posts(self, user: User, posts: Iterable[tuple[str, datetime]]) -> None:
        """Add posts of the past, except those that exist with the same text and time."""
        with self._lock:
            held = {(post.text, post.created_at) for post in self.posts(user)}
            new: dict[str, Post] = {}
            for text, at in sorted(posts, key=lambda post: post[1]):
                if (text, at) not in held:
                    id_ = str(self._new_id(at, new))
                    new[id_] = Post(
                        id=id_, user_id=user.id, text=text, created_at=at.astimezone(UTC)
                    )
            self._posts.put_all(new)

    def post(self, user: User, text: str) -> Post | None:
        """Post a text now; returns None if the user has posted it before."""
        with self._lock:
            held = self.posts(user)
            if any(post.text == text for post in held):
                return None
            now = self.now()
            newest = int(held[0].id) if held else 0
            # A new post's id is above all earlier ones, even within the same millisecond.
            id_ = str(max(self._new_id(now), newest + 1))
            post = Post(
                id=id_, user_id=user.id, text=text, created_at=now.astimezone(UTC), automated=True
            )
            self._posts.put(id_, post)
            return post

    def bearer(self) -> str:
        """The app's bearer token."""
        with self._lock:
            bearer = self._bearer.get("app")
            if bearer is None:
                bearer = _Bearer(token=f"AAAAAAAAAAAAAAAAAAAAA{secrets.token_hex(24)}")
                self._bearer.put("app", bearer)
            return bearer.token

    def issue_keys(self, user: User) -> Keys:
        """Make four new keys for a user; older ones stay valid."""
        keys = Keys(
            user_id=user.id,
            api_key=secrets.token_hex(12),
            api_secret=secrets.token_hex(25),
            access_token=f"{user.id}-{secrets.token_hex(20)}",
            access_token_secret=secrets.token_hex(22),
        )
        self._keys.put(keys.access_token, keys)
        return keys

    def keys(self, access_token: str) -> Keys | None:
        """The keys that an access token belongs to."""
        return self._keys.get(access_token)

    def sell(self, user: User, sale: Sale, count: int) -> None:
        """Record a sale."""
        if count:
            with self._lock:
                sales = self.sold().get(user.handle) or dict.fromkeys(PRICES, 0)
                counts: dict[Sale, int] = {**sales, sale: sales[sale] + count}
                self._sales.put(user.handle, _Sales(handle=user.handle, counts=counts))

    def sold(self) -> dict[str, dict[Sale, int]]:
        """What was sold, by the handle of the user it belongs to."""
        return {sales.handle: sales.counts for sales in self._sales.all()}

    def _new_id(self, at: datetime, taken: Container[str] = ()) -> int:
        id_ = (at - _EPOCH) // timedelta(milliseconds=1) << 22
        while str(id_) in taken or self._users.get(str(id_)) or self._posts.get(str(id_)):
            id_ += 1
        return id_


def price(sales: Mapping[Sale, int]) -> Decimal:
    """US dollars for what was sold."""
    return sum((PRICES[sale] * count for sale, count in sales.items()), Decimal(0))
