"""A made-up tweet, with labels for what makes real tweets hard to learn from."""

import html
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pipeline.text import LIMIT, weighted_length
from pipeline.tweets import Kind, Link, Tweet

Oddity = Literal[
    "words of others",
    "cut",
    "introduced link",
    "link",
    "bare domain",
    "photo",
    "hashtags",
    "mention inside",
    "subject mention",
    "email",
    "phone",
    "address",
    "hidden characters",
    "marker",
    "template",
    "near-duplicate",
    "edited",
    "long",
    "paragraphs",
    "escaped",
    "no words",
    "unknown answered tweet",
    "unknown answered name",
]
"""What may be odd about a sample. A sample may have several oddities."""

ODDITIES: Mapping[Oddity, str] = {
    "words of others": "quoted by hand: `RT @name: …`, `MT`, `QT`, `“@name: …”`, `via @name`",
    "cut": "cut in mid-word by X or by an app",
    "introduced link": "`New post: Title https://…`, `Title Read more: https://…`",
    "link": "a link behind the text",
    "bare domain": "`example.org` without `https://`",
    "photo": "one to four photos",
    "hashtags": "hashtags behind the text",
    "mention inside": "`/cc @name`, `h/t @name` behind the text",
    "subject mention": "`.@name …`, where the name is part of the sentence",
    "email": "an e-mail address",
    "phone": "a telephone number",
    "address": "a postal address",
    "hidden characters": "characters that nobody sees, and marks that turn the direction",
    "marker": "marks of language models, such as `<|endoftext|>`",
    "template": "written by an app",
    "near-duplicate": "repeats an earlier tweet with a little change",
    "edited": "has an earlier version",
    "long": "has more text than X shows at first",
    "paragraphs": "has blank lines",
    "escaped": "has `&`, `<` or `>`, which X delivers as in HTML",
    "no words": "nothing but a link, hashtags, names or emoji",
    "unknown answered tweet": "answers a tweet that is gone",
    "unknown answered name": "answers a user who is gone",
}
"""What each oddity is, in Markdown."""

_EPOCH_MS = 1288834974657  # X's ids count milliseconds from here. 22 other bits follow.
_MENTION = re.compile(r"(?<!\w)@([A-Za-z0-9_]{1,15})")
_HASHTAG = re.compile(r"(?<!\w)#(\w+)")


def snowflake(at: datetime, number: int) -> str:
    """Returns the id of a tweet of that moment; `number` tells tweets of one moment apart."""
    return str(((int(at.timestamp() * 1000) - _EPOCH_MS) << 22) + number)


def user_id(handle: str) -> str:
    """Returns the id of a made-up user: eleven digits, which X has given to nobody."""
    return f"9{zlib.crc32(handle.encode()) % 10**10:010d}"


def is_long(text: str) -> bool:
    """Whether X shows only the start of a text, and has all of it as a note."""
    if len(text) * 2 <= LIMIT:  # No character weighs over 2.
        return False
    # None weighs under 1, but emoji of several characters do. X's own count is slow.
    return (text.isascii() and len(text) > LIMIT) or weighted_length(text) > LIMIT


@dataclass(frozen=True)
class Answered:
    """Whom and what a tweet answers. X leaves out what is gone."""

    user: str
    handle: str | None
    tweet: str | None


@dataclass(frozen=True)
class Address:
    """A link of X's own in a text, and the address that it leads to.

    X has a link to a photo among the media of a tweet, not among its links.
    """

    short: str
    full: str


@dataclass(frozen=True)
class Version:
    """An earlier version of an edited tweet."""

    id: str
    at: datetime
    text: str


@dataclass(frozen=True)
class Span:
    """A part of a text: characters `start` to `end` are `value`."""

    start: int
    end: int
    value: str


@dataclass(frozen=True)
class Sample:
    """A made-up tweet. `text` is as people read it, not escaped, and whole."""

    id: str
    at: datetime
    text: str
    own: str
    """What may be learnt: the person's own words; empty if there are none, or private ones.

    It is exact but for a bare domain, whose sentence has a gap.
    """
    kind: Kind
    oddities: frozenset[Oddity]
    app: str
    language: str
    answered: Answered | None = None
    links: tuple[Address, ...] = ()
    photos: tuple[Address, ...] = ()
    quotes: str | None = None
    versions: tuple[Version, ...] = ()

    @property
    def escaped(self) -> str:
        """The text with `&`, `<` and `>` as X delivers them."""
        return html.escape(self.text, quote=False)

    def at_version(self, version: Version) -> "Sample":
        """Returns the tweet as it was at an earlier version."""
        return replace(self, id=version.id, at=version.at, text=version.text, photos=())

    def cut_to(self, start: str) -> "Sample":
        """Returns the tweet as X shows a long one: `start`, an ellipsis and a link to itself."""
        short = f"https://t.co/{zlib.crc32(self.id.encode()):010d}"
        itself = Address(short, f"https://twitter.com/i/web/status/{self.id}")
        return replace(self, text=f"{start}… {short}", links=(itself,), photos=())

    def mentions(self) -> Iterator[Span]:
        """Yields the handles in `escaped`, with the places of `@handle`."""
        for match in _MENTION.finditer(self.escaped):
            yield Span(match.start(), match.end(), match[1])

    def hashtags(self) -> Iterator[Span]:
        """Yields the hashtags in `escaped`, without their `#`."""
        for match in _HASHTAG.finditer(self.escaped):
            yield Span(match.start(), match.end(), match[1])

    def tweet(self) -> Tweet:
        """Returns what a perfect reader of the person's archive knows of the tweet."""
        text = self.escaped
        return Tweet(
            id=self.id,
            text=text,
            created_at=self.at,
            source="archive",
            kind=self.kind,
            answers=self.answered.tweet if self.answered else None,
            answers_user=self.answered.user if self.answered else None,
            quotes=self.quotes,
            language=self.language,
            app=self.app,
            shown=(0, len(text)),  # X's archives have the whole range, whatever X shows.
            media=("photo",) * len(self.photos),
            links=tuple(
                Link(start=start, end=start + len(link.short), address=link.full)
                for link in self.links
                for start in [text.index(link.short)]
            ),
            edits=(*(version.id for version in self.versions), self.id) if self.versions else (),
            cut="cut" in self.oddities,
        )
