"""A tweet as it is kept: one line of JSON, whatever source it came from."""

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
    """JSON can carry half of a surrogate pair, which UTF-8 cannot: it becomes U+FFFD."""
    if isinstance(text, str):
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


class Tweet(BaseModel):
    """One post of an account; `text` is as X gives it: `&`, `<` and `>` escaped as in HTML."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
    text: Annotated[str, BeforeValidator(_whole)]
    created_at: Annotated[AwareDatetime, AfterValidator(_utc)]
    source: Literal["timeline", "archive"]


def to_jsonl(tweets: Iterable[Tweet]) -> bytes:
    """One line a tweet, in the order given."""
    return b"".join(tweet.model_dump_json().encode() + b"\n" for tweet in tweets)


def from_jsonl(data: bytes, name: str) -> list[Tweet]:
    """The tweets of `to_jsonl`; UserError with `name` and the line where it is anything else."""
    tweets: list[Tweet] = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            tweets.append(Tweet.model_validate_json(line))
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise UserError(
                f"{name}: line {number} is not a tweet ({what}); restore the object's last version"
            ) from None
    return tweets
