"""A collected tweet: one line of JSON in a segment, whatever its source.

A segment is JSON Lines. Lines of version 1 have only an id, a text, a time and a source. They stay
as they are: a later read or import of the same tweet is stored beside them, and `together` makes
one tweet of all that is known. An older program ignores the keys that it does not know.
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

Kind = Literal["post", "thread", "reply", "quote", "retweet"]
"""What a tweet is. An answer to oneself is a `thread`, an answer to somebody else a `reply`."""

Id = Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]


def _whole(text: object) -> object:
    """Replace half a surrogate pair, which JSON can hold and UTF-8 cannot, by U+FFFD."""
    if isinstance(text, str) and not text.isascii():
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


class Link(BaseModel):
    """A link in a tweet's text; `start` and `end` count the characters of the text as X sent it."""

    model_config = ConfigDict(frozen=True)

    start: int
    end: int
    address: Annotated[str, Field(description="the full address that the t.co link leads to")]


class Tweet(BaseModel):
    """One post of an account. As X delivers it, `text` has `&`, `<` and `>` escaped as in HTML."""

    model_config = ConfigDict(frozen=True)

    version: int = 2
    id: Id
    text: Annotated[str, BeforeValidator(_whole)]
    created_at: Annotated[AwareDatetime, AfterValidator(_utc)]
    source: Literal["timeline", "archive"]
    kind: Annotated[Kind | None, Field(description="None if not known, as in version 1")] = None
    answers: Annotated[Id | None, Field(description="the tweet that this one answers")] = None
    answers_user: Annotated[Id | None, Field(description="the user whom this one answers")] = None
    quotes: Annotated[Id | None, Field(description="the tweet that this one quotes")] = None
    language: Annotated[str | None, Field(description="as X guessed it, such as `en`")] = None
    app: Annotated[str | None, Field(description="the app that sent it")] = None
    shown: Annotated[
        tuple[int, int] | None,
        Field(description="X's `display_text_range`: where the text is without leading mentions"),
    ] = None
    media: Annotated[
        tuple[str, ...], Field(description="such as `photo`, `video` and `animated_gif`")
    ] = ()
    links: tuple[Link, ...] = ()
    edits: Annotated[
        tuple[Id, ...], Field(description="all versions of an edited tweet, the oldest first")
    ] = ()
    cut: Annotated[bool, Field(description="whether X cut the text, and this is not all of it")] = (
        False
    )


def together(tweets: Iterable[Tweet]) -> list[Tweet]:
    """One tweet for each id, with all that is known of it, the oldest first.

    An edit has an id of its own. Of the versions of an edited tweet, the newest one counts.
    """
    by_id: dict[int, Tweet] = {}
    for tweet in tweets:
        known = by_id.get(int(tweet.id))
        by_id[int(tweet.id)] = tweet if known is None else _merged(known, tweet)
    newest = {_first_version(tweet): tweet for _, tweet in sorted(by_id.items())}
    return sorted(newest.values(), key=lambda tweet: int(tweet.id))


def _first_version(tweet: Tweet) -> int:
    return int(tweet.edits[0] if tweet.edits else tweet.id)


def _merged(one: Tweet, other: Tweet) -> Tweet:
    """Two records of the same tweet as one.

    The one of the higher version counts, with what only the other knows. A text that was not cut
    counts before one that was, and then the longer one, since a cut is not always marked.
    """
    better, worse = (one, other) if one.version >= other.version else (other, one)
    text = max(better, worse, key=lambda tweet: (not tweet.cut, len(tweet.text)))
    known = worse.model_dump(exclude_defaults=True, exclude={"version"})
    known |= better.model_dump(exclude_defaults=True)
    return Tweet.model_validate(known | {"text": text.text, "cut": text.cut})


def to_jsonl(tweets: Iterable[Tweet]) -> bytes:
    """The bytes of a segment: one line a tweet, in the given order."""
    return b"".join(_line(tweet) for tweet in tweets)


def _line(tweet: Tweet) -> bytes:
    """A tweet's line. Keys that say nothing are left out, except the version."""
    known = tweet.model_dump_json(exclude={"version"}, exclude_defaults=True)
    return f'{{"version":{tweet.version},{known[1:]}\n'.encode()


def from_jsonl(data: bytes, name: str) -> list[Tweet]:
    """Read the tweets of a segment; UserError names the segment and the invalid line."""
    tweets: list[Tweet] = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            tweet = Tweet.model_validate_json(line)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise UserError(
                f"{name}: line {number} is not a tweet ({reason}); restore an earlier version of"
                " the object"
            ) from None
        if "version" not in tweet.model_fields_set:
            tweet = tweet.model_copy(update={"version": 1})
        tweets.append(tweet)
    return tweets
