"""Reads X's timelines: a user's id, and their posts, one page at a time."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tweepy  # pyright: ignore[reportMissingTypeStubs]
from pydantic import ValidationError

from pipeline.tweets import Tweet
from pipeline.x import XUnavailable, ask

SMALLEST, LARGEST = 5, 100
"""The smallest and the largest page that X sends."""


@dataclass(frozen=True)
class Page:
    """Posts, the newest first; `more` is the token of the next page, None after the last.

    X may leave posts out of a page, even all of them.
    """

    tweets: list[Tweet]
    more: str | None


class Timeline:
    """X's timelines, read with one client; every failure is an XError."""

    def __init__(self, client: tweepy.Client) -> None:
        self._get_user: Callable[..., Any] = client.get_user  # pyright: ignore[reportUnknownMemberType]
        self._get_tweets: Callable[..., Any] = client.get_users_tweets  # pyright: ignore[reportUnknownMemberType]

    def user_id(self, handle: str) -> str:
        """The user's id, which stays the same when they change their handle."""
        response = ask(self._get_user, username=handle)
        try:
            return str(int(response["data"]["id"]))
        except (KeyError, TypeError, ValueError):
            raise XUnavailable("nonsense", f"X's response for @{handle} has no user id") from None

    def page(
        self, user_id: str, since: str | None, until: str | None, size: int, more: str | None
    ) -> Page:
        """At most `size` posts with ids above `since` and below `until`, no retweets.

        X sells every post that it returns. Retweets are other people's words, and the corpus
        leaves them out, so the request excludes them.
        """
        response = ask(
            self._get_tweets,
            user_id,
            since_id=since,
            until_id=until,
            max_results=size,
            pagination_token=more,
            exclude=["retweets"],
            tweet_fields=["created_at", "note_tweet"],
        )
        try:
            tweets = [_tweet(post) for post in response.get("data", [])]
            token = response.get("meta", {}).get("next_token")
        except (AttributeError, KeyError, TypeError, ValidationError):
            raise XUnavailable("nonsense", "X's response has an entry that is not a post") from None
        above, below = int(since or 0), int(until) if until else math.inf
        for tweet in tweets:
            if not above < int(tweet.id) < below:
                raise XUnavailable(
                    "nonsense", f"X's response has post {tweet.id}, which was not asked for"
                )
        return Page(tweets, token)


def _tweet(post: dict[str, Any]) -> Tweet:
    """The `text` of a long post is cut and ends in an ellipsis; `note_tweet` has it whole."""
    return Tweet(
        id=post["id"],
        text=post.get("note_tweet", {}).get("text") or post["text"],
        created_at=post["created_at"],
        source="timeline",
    )
