"""A collected tweet: one line of JSON in a segment, whatever its source.

A segment is JSON Lines and is never written again. Its lines carry no version: a new key is
optional, and an older program ignores it. That is enough for a record that nobody rewrites.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from pipeline.errors import UserError


def _whole(text: object) -> object:
    """Replace half a surrogate pair, which JSON can hold and UTF-8 cannot, by U+FFFD."""
    if isinstance(text, str):
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


class Tweet(BaseModel):
    """One post of an account. As X delivers it, `text` has `&`, `<` and `>` escaped as in HTML."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
    text: Annotated[str, BeforeValidator(_whole)]
    created_at: Annotated[AwareDatetime, AfterValidator(_utc)]
    source: Literal["timeline", "archive"]


def to_jsonl(tweets: Iterable[Tweet]) -> bytes:
    """The bytes of a segment: one line a tweet, in the given order."""
    return b"".join(tweet.model_dump_json().encode() + b"\n" for tweet in tweets)


def from_jsonl(data: bytes, name: str) -> list[Tweet]:
    """Read the tweets of a segment; UserError names the segment and the invalid line."""
    tweets: list[Tweet] = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            tweets.append(Tweet.model_validate_json(line))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise UserError(
                f"{name}: line {number} is not a tweet ({reason}); restore an earlier version of"
                " the object"
            ) from None
    return tweets
