"""Reads X's timelines: a user, and their posts, one page at a time."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import tweepy  # pyright: ignore[reportMissingTypeStubs]
from pydantic import BaseModel, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from pipeline.tweets import Id, Kind, Link, Tweet
from pipeline.x import XRefused, XUnavailable, ask

SMALLEST, LARGEST = 5, 100
"""The smallest and the largest page that X sends."""

# Source: https://docs.x.com/x-api/users/get-posts
TWEET_FIELDS = [
    *("created_at", "note_tweet", "referenced_tweets", "in_reply_to_user_id", "lang", "source"),
    *("entities", "attachments", "edit_history_tweet_ids", "display_text_range"),
]
"""The fields that a Tweet is made of. X always sends `id` and `text`."""

# What the keys of attached media begin with.
_MEDIA = {"3": "photo", "7": "video", "13": "video", "16": "animated_gif"}


@dataclass(frozen=True)
class User:
    """A user's id, which stays when they change their handle, and how many posts X counts."""

    id: str
    posts: int | None


@dataclass(frozen=True)
class Page:
    """Posts, the newest first, as X sold them.

    Attributes:
        tweets: The posts that can be read. X may leave posts out of a page, even all of them.
        odd: The ids of the posts that cannot: they have no text or no time.
        more: The token of the next page; None after the last.
    """

    tweets: list[Tweet]
    odd: list[str]
    more: str | None

    @property
    def ids(self) -> list[int]:
        """The ids of all posts."""
        return [*(int(tweet.id) for tweet in self.tweets), *map(int, self.odd)]


class Timeline:
    """X's timelines, read with one client; every failure is an XError."""

    def __init__(self, client: tweepy.Client, *, keys_of: str | None = None) -> None:
        """Read with the client's bearer token, or with the keys of the user with that id."""
        self._get_user: Callable[..., Any] = client.get_user  # pyright: ignore[reportUnknownMemberType]
        self._get_tweets: Callable[..., Any] = client.get_users_tweets  # pyright: ignore[reportUnknownMemberType]
        self._keys_of = keys_of

    def user(self, handle: str) -> User:
        """Look up a user by handle."""
        response = ask(
            self._get_user,
            username=handle,
            user_fields=["public_metrics"],
            user_auth=self._keys_of is not None,
        )
        try:
            user = response["data"]
            return User(str(int(user["id"])), _Metrics.model_validate(user).posts)
        except (KeyError, TypeError, ValueError):
            raise XUnavailable("nonsense", f"X's response for @{handle} has no user id") from None

    def page(
        self, user_id: str, since: int, until: int | None, size: int, more: str | None
    ) -> Page:
        """At most `size` posts with ids above `since` and below `until`, no retweets.

        X sells every post that it returns. Retweets are other people's words, and the corpus
        leaves them out, so the request excludes them.
        """
        if self._keys_of not in (None, user_id):
            raise XRefused(
                "credentials",
                f"the account's keys are user {self._keys_of}'s and the timeline is user"
                f" {user_id}'s; set `read_with: bearer` for the account",
            )
        response = ask(
            self._get_tweets,
            user_id,
            since_id=str(since) if since else None,
            until_id=until and str(until),
            max_results=size,
            pagination_token=more,
            exclude=["retweets"],
            tweet_fields=TWEET_FIELDS,
            user_auth=self._keys_of is not None,
        )
        tweets: list[Tweet] = []
        odd: list[str] = []
        try:
            for post in response.get("data", []):
                try:
                    tweets.append(_Post.model_validate(post).tweet(user_id))
                except ValidationError:
                    odd.append(_Identified.model_validate(post).id)
            # Without it, nothing would say that this is not the last page.
            token = response["meta"].get("next_token")
        except (AttributeError, KeyError, TypeError, ValidationError):
            raise XUnavailable("nonsense", "X's response has an entry that is not a post") from None
        page = Page(tweets, odd, token)
        for id_ in page.ids:
            if not since < id_ < (math.inf if until is None else until):
                raise XUnavailable(
                    "nonsense", f"X's response has post {id_}, which was not asked for"
                )
        return page


def _or_nothing(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


T = TypeVar("T")
Maybe = Annotated[T | None, WrapValidator(_or_nothing)]
"""A field that counts as absent if it is not what X documents. The post is kept."""


class _Metrics(BaseModel, frozen=True):
    class Counts(BaseModel, frozen=True):
        tweet_count: int

    public_metrics: Maybe[Counts] = None

    @property
    def posts(self) -> int | None:
        return self.public_metrics and self.public_metrics.tweet_count


class _Reference(BaseModel, frozen=True):
    type: str
    id: Id


class _Url(BaseModel, frozen=True):
    start: int
    end: int
    url: str
    expanded_url: Maybe[str] = None
    unwound_url: Maybe[str] = None


class _Entities(BaseModel, frozen=True):
    urls: Maybe[list[Maybe[_Url]]] = None


class _Note(BaseModel, frozen=True):
    text: Annotated[str, Field(min_length=1)]
    entities: Maybe[_Entities] = None


class _Attachments(BaseModel, frozen=True):
    media_keys: Maybe[list[str]] = None


class _Identified(BaseModel, frozen=True):
    id: Id


class _Post(_Identified, frozen=True):
    """A post as X documents it. Only its id, text and time are needed."""

    text: str
    created_at: str
    note_tweet: Maybe[_Note] = None
    referenced_tweets: Maybe[list[Maybe[_Reference]]] = None
    in_reply_to_user_id: Maybe[Id] = None
    lang: Maybe[str] = None
    source: Maybe[str] = None
    entities: Maybe[_Entities] = None
    attachments: Maybe[_Attachments] = None
    edit_history_tweet_ids: Maybe[list[Id]] = None
    display_text_range: Maybe[tuple[int, int]] = None

    def tweet(self, user_id: str) -> Tweet:
        """The record of a post of that user; raises ValidationError if its time is none."""
        # The `text` of a long post is cut; `note_tweet` has it whole, with entities of its own.
        whole = self.note_tweet or self
        links = _links(whole.entities)
        edits = self.edit_history_tweet_ids or []
        keys = (self.attachments and self.attachments.media_keys) or []
        return Tweet.model_validate(
            {
                "id": self.id,
                "text": whole.text,
                "created_at": self.created_at,
                "source": "timeline",
                "kind": self._kind(user_id),
                "answers": self._refers("replied_to"),
                "answers_user": self.in_reply_to_user_id,
                "quotes": self._refers("quoted"),
                "language": self.lang,
                "app": self.source,
                "shown": None if self.note_tweet else self.display_text_range,
                "media": tuple(_MEDIA.get(key.partition("_")[0], "other") for key in keys),
                "links": links,
                "edits": tuple(edits) if len(edits) > 1 else (),
                # X ends a text that it has cut with a link to the post.
                "cut": any(_leads_to(link, self.id) for link in links),
            }
        )

    def _refers(self, type_: str) -> str | None:
        found = (ref.id for ref in self.referenced_tweets or [] if ref and ref.type == type_)
        return next(found, None)

    def _kind(self, user_id: str) -> Kind:
        if self._refers("retweeted"):
            return "retweet"
        if self._refers("replied_to") or self.in_reply_to_user_id:
            return "thread" if self.in_reply_to_user_id == user_id else "reply"
        return "quote" if self._refers("quoted") else "post"


def _links(entities: _Entities | None) -> tuple[Link, ...]:
    urls = (entities and entities.urls) or []
    return tuple(
        Link(start=u.start, end=u.end, address=u.unwound_url or u.expanded_url or u.url)
        for u in urls
        if u
    )


def _leads_to(link: Link, post: str) -> bool:
    return bool(re.fullmatch(rf"https?://(twitter|x)\.com/i/web/status/{post}", link.address))
