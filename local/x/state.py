"""The state of X, which survives restarts: users, posts, credentials and sales."""

import secrets
import threading
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel

from local.records import Records
from pipeline import prices
from pipeline.clock import Clock
from pipeline.errors import UserError

Read = Literal["posts_read", "own_posts_read", "user_reads"]
Sale = Literal["posts_sent", "users_sent", Read, "posts_created", "links_created"]

# US dollars for one. What X sends is free by itself: an app pays for a post or a user once in a day
# of UTC, however often it is sent. X does not promise that for days on which it has an outage.
# Source: https://docs.x.com/x-api/getting-started/pricing
PRICES: dict[Sale, Decimal] = {
    "posts_sent": Decimal(0),
    "users_sent": Decimal(0),
    "posts_read": prices.POST_READ,
    "own_posts_read": prices.OWNED_POST_READ,
    "user_reads": prices.USER_READ,
    "posts_created": prices.POST_CREATE,
    "links_created": prices.POST_WITH_LINK - prices.POST_CREATE,
}

MOST_EDITS = 5
"""How often a post may be edited. Source: https://docs.x.com/x-api/fundamentals/edit-posts"""

_EDITABLE_FOR = timedelta(minutes=30)

# Ids are snowflakes: milliseconds since this time, then 22 bits for posts of one millisecond.
_EPOCH = datetime(2010, 11, 4, 1, 42, 54, 657000, tzinfo=UTC)


class User(BaseModel, frozen=True):
    """One user; X finds a `handle` whatever its case."""

    id: str
    handle: str
    protected: bool = False
    suspended: bool = False


class _Written(BaseModel, frozen=True):
    """What its author makes of a post. A retweet begins with `RT @name: `, as X has it begin."""

    text: str
    created_at: Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC))]
    answers: str | None = None  # a post's id
    answers_user: str | None = None  # a user's id; the post that is answered may be gone
    quotes: str | None = None
    retweets: str | None = None
    language: str = "en"
    media: tuple[Literal["photo", "video", "animated_gif"], ...] = ()


class Draft(_Written, frozen=True):
    """A post to be. Without an `id` it gets one that follows from its time."""

    id: str | None = None

    @classmethod
    def of(cls, tweet: "tuple[str, datetime] | Draft") -> "Draft":
        """A plain post from its text and time (aware); a draft stays as it is."""
        return tweet if isinstance(tweet, Draft) else cls(text=tweet[0], created_at=tweet[1])


class Post(_Written, frozen=True):
    """One post, in its living version.

    Attributes:
        automated: Whether it was made through the API.
        edits: The ids of the versions before this one, the oldest first.
        living: Whether it was neither deleted nor replaced by a later version.
    """

    id: str
    user_id: str
    automated: bool = False
    edits: tuple[str, ...] = ()
    living: bool = True

    @property
    def editable(self) -> bool:
        """Whether X lets its author edit a post of its kind."""
        return not self.retweets and self.answers_user in (None, self.user_id)


def editable_until(post: Post) -> datetime:
    """When the author's time to edit a post ends: it counts from the first version."""
    first = int((*post.edits, post.id)[0])
    return _EPOCH + timedelta(milliseconds=first >> 22) + _EDITABLE_FOR


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


class _Bought(BaseModel, frozen=True):
    """The ids of the posts and users that an app has paid for on a day."""

    day: str
    ids: list[str]


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
        self._bought = Records(folder / "bought.json", _Bought)  # by app

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
        """All living posts of a user, newest first."""
        return [post for post in self._all_posts(user) if post.living]

    def conversation(self, post: Post) -> str:
        """The id of the post that began a conversation, as far as it is known here."""
        while post.answers and (answered := self._posts.get(post.answers)):
            post = answered
        return post.answers or post.id

    def put_posts(self, user: User, drafts: Iterable[Draft]) -> list[Post]:
        """Add posts of the past, except those that exist with the same text and time."""
        with self._lock:
            held = {(post.text, post.created_at) for post in self._all_posts(user)}
            new: dict[str, Post] = {}
            for draft in sorted(drafts, key=lambda draft: draft.created_at):
                if (draft.text, draft.created_at) not in held:
                    id_ = draft.id or str(self._new_id(draft.created_at, new))
                    written = {**draft.model_dump(), "id": id_, "user_id": user.id}
                    new[id_] = Post.model_validate(written)
            self._posts.put_all(new)
            return list(new.values())

    def post(self, user: User, text: str) -> Post | None:
        """Post a text now; returns None if the user has posted it before."""
        with self._lock:
            if any(post.text == text for post in self.posts(user)):
                return None
            id_ = self._next_id(user, self.now())
            post = Post(id=id_, user_id=user.id, text=text, created_at=self.now(), automated=True)
            self._posts.put(id_, post)
            return post

    def edit(self, user: User, id_: str, text: str) -> Post:
        """Replace a post by a new version, which has an id of its own.

        Raises:
            UserError: X does not let the user edit this post, or not any more.
        """
        with self._lock:
            old, now = self._own(user, id_), self.now()
            if not old.editable or len(old.edits) == MOST_EDITS or now > editable_until(old):
                raise UserError(f"X on this machine does not let @{user.handle} edit post {id_}")
            new = old.model_copy(
                update={
                    "id": self._next_id(user, now),
                    "text": text,
                    "created_at": now.astimezone(UTC),
                    "edits": (*old.edits, old.id),
                }
            )
            self._posts.put_all({old.id: old.model_copy(update={"living": False}), new.id: new})
            return new

    def delete(self, user: User, id_: str) -> None:
        """Delete a post with all its versions."""
        with self._lock:
            self._posts.put(id_, self._own(user, id_).model_copy(update={"living": False}))

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

    def sell_reads(self, app: str, user: User, sale: Read, ids: Sequence[str]) -> None:
        """Record what an app was sent of a user. It pays for what it has not bought today."""
        with self._lock:
            day = f"{self.now().astimezone(UTC):%Y-%m-%d}"
            bought = self._bought.get(app)
            held = bought.ids if bought and bought.day == day else []
            new = sorted({*ids} - {*held})
            if new:
                self._bought.put(app, _Bought(day=day, ids=[*held, *new]))
            self.sell(user, "users_sent" if sale == "user_reads" else "posts_sent", len(ids))
            self.sell(user, sale, len(new))

    def sold(self) -> dict[str, dict[Sale, int]]:
        """What was sold, by the handle of the user it belongs to."""
        nothing = dict.fromkeys(PRICES, 0)
        return {sales.handle: {**nothing, **sales.counts} for sales in self._sales.all()}

    def _all_posts(self, user: User) -> list[Post]:
        """All posts of a user with all their versions, newest first."""
        held = (post for post in self._posts.all() if post.user_id == user.id)
        return sorted(held, key=lambda post: int(post.id), reverse=True)

    def _own(self, user: User, id_: str) -> Post:
        post = self._posts.get(id_)
        if post is None or post.user_id != user.id or not post.living:
            raise UserError(f"X on this machine has no post {id_} of @{user.handle}")
        return post

    def _next_id(self, user: User, at: datetime) -> str:
        """The id of a new post: above all earlier ones, even within the same millisecond."""
        held = self._all_posts(user)
        return str(max(self._new_id(at), int(held[0].id) + 1 if held else 0))

    def _new_id(self, at: datetime, taken: Container[str] = ()) -> int:
        id_ = (at - _EPOCH) // timedelta(milliseconds=1) << 22
        while str(id_) in taken or self._users.get(str(id_)) or self._posts.get(str(id_)):
            id_ += 1
        return id_


def price(sales: Mapping[Sale, int]) -> Decimal:
    """US dollars for what was sold."""
    return sum((PRICES[sale] * count for sale, count in sales.items()), Decimal(0))
