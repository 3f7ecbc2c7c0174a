"""What the scraper asks of X: one user's id, and their posts a page at a time."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tweepy  # pyright: ignore[reportMissingTypeStubs]
from pydantic import ValidationError

from pipeline.tweets import Tweet
from pipeline.x import XError, ask

SMALLEST, LARGEST = 5, 100
"""How many posts X lets a page have."""


@dataclass(frozen=True)
class Page:
    """Posts, the newest first; `more` continues where X has left some out, even all of them."""

    tweets: list[Tweet]
    more: str | None


class Timeline:
    """X's timelines, read with one client; every trouble is an XError."""

    def __init__(self, client: tweepy.Client) -> None:
        self._get_user: Callable[..., Any] = client.get_user  # pyright: ignore[reportUnknownMemberType]
        self._get_tweets: Callable[..., Any] = client.get_users_tweets  # pyright: ignore[reportUnknownMemberType]

    def user_id(self, handle: str) -> str:
        """The id that stays the user's own whatever they call themselves."""
        answer = ask(self._get_user, username=handle)
        try:
            return str(int(answer["data"]["id"]))
        except (KeyError, TypeError, ValueError):
            raise XError("nonsense", f"X's answer for @{handle} has no user id") from None

    def page(
        self, user_id: str, since: str | None, until: str | None, size: int, more: str | None
    ) -> Page:
        """At most `size` posts with ids above `since` and below `until`, no retweets.

        X sells each post that it returns, so it is asked for nothing that is not kept: retweets
        are other people's words.
        """
        answer = ask(
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
            tweets = [_tweet(post) for post in answer.get("data", [])]
            token = answer.get("meta", {}).get("next_token")
        except (AttributeError, KeyError, TypeError, ValidationError):
            raise XError("nonsense", "X's answer holds something that is no post") from None
        above, below = int(since or 0), int(until) if until else math.inf
        for tweet in tweets:
            if not above < int(tweet.id) < below:
                raise XError("nonsense", f"X's answer holds post {tweet.id}, not asked for")
        return Page(tweets, token)


def _tweet(post: dict[str, Any]) -> Tweet:
    """`text` ends in an ellipsis where a long post has more; `note_tweet` has it whole."""
    return Tweet(
        id=post["id"],
        text=post.get("note_tweet", {}).get("text") or post["text"],
        created_at=post["created_at"],
        source="timeline",
    )
