"""Makes a tweet of an entry: an object as X writes it into the files of an archive.

A fact that is null is not known. An entry with anything else of the wrong kind is odd, and left
out: who knows what else is wrong with it.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from html import unescape
from typing import Any, cast

from pydantic import ValidationError

from pipeline.archive.kept import MOST_ID
from pipeline.index import Owner
from pipeline.tweets import Kind, Tweet

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_STATUS = re.compile(
    r"https?://(?:www\.|mobile\.|m\.)?(?:twitter|x)\.com/(?:#!/)?\w+/status(?:es)?/(\d{1,19})/?(?:[?#].*)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_WHOLE = re.compile(r"https?://(?:twitter|x)\.com/i/web/status/\d+", re.ASCII)
_ANCHOR = re.compile(r"\s*<a\b[^>]*>(.*)</a>\s*", re.DOTALL)
_LAST_LINK = re.compile(r"\s*https?://t\.co/\w+\s*$", re.ASCII)

Entry = dict[str, Any]


class Odd(Exception):
    """An entry is not as X writes it; the text says what is wrong, such as `no text`."""


def tweet(entry: Entry, owner: Owner) -> Tweet:
    """The tweet of an entry of `owner`'s archive; raises Odd if it is none."""
    text = entry.get("full_text")
    text = entry.get("text") if text is None else text
    if not isinstance(text, str):
        raise Odd("no text" if text is None else "a text that is none")
    entities = _object(entry, "entities")
    media = _media(_object(entry, "extended_entities") or entities)
    links = _links(entities)
    quotes = _optional_id(entry, "quoted_status_id_str", "quoted_status_id") or _quoted(links)
    answers_user = _optional_id(entry, "in_reply_to_user_id_str", "in_reply_to_user_id")
    answers = _optional_id(entry, "in_reply_to_status_id_str", "in_reply_to_status_id")
    number = identifier(entry)
    try:
        return Tweet(
            id=str(number),
            text=text,
            created_at=time(entry.get("created_at")),
            source="archive",
            kind=_kind(entry, owner, answers, answers_user, quotes),
            answers=answers,
            answers_user=answers_user,
            quotes=quotes,
            language=_optional_text(entry, "lang"),
            app=_app(_optional_text(entry, "source") or ""),
            shown=_shown(entry.get("display_text_range")),
            media=media,
            links=links,  # pyright: ignore[reportArgumentType]
            edits=_edits(entry, number),
            cut=_is_cut(text, links, bool(media)),
        )
    except ValidationError as error:
        raise Odd(f"an odd {error.errors()[0]['loc'][0]}") from None


def is_retweet(entry: Entry) -> bool:
    """Whether an entry repeats somebody else's tweet. X marks none, but begins its text so."""
    text = entry.get("full_text") or entry.get("text")
    return bool(entry.get("retweeted_status")) or (
        isinstance(text, str) and text.startswith("RT @")
    )


def identifier(entry: Entry) -> int:
    """The id of an entry; raises Odd if it has none."""
    found = entry.get("id_str")
    found = entry.get("id") if found is None else found
    if found is None:
        raise Odd("no id")
    number = _number(found)
    if number is None:
        raise Odd("an id that is no number")
    return number


def _spelt(text: str) -> datetime:
    """The time of a text such as `Sun Nov 01 10:00:05 +0000 2026`.

    Slices are several times faster than `strptime`, and know English in every country.
    """
    if text[19:26] != " +0000 " or len(text) != 30:
        raise ValueError(text)
    month = _MONTHS[text[4:7]]
    clock = int(text[11:13]), int(text[14:16]), int(text[17:19])
    return datetime(int(text[26:]), month, int(text[8:10]), *clock, tzinfo=UTC)


def time(text: Any) -> datetime:
    """The time of an entry, as X has written times since 2006; raises Odd if it is none."""
    if not isinstance(text, str):
        raise Odd("no time" if text is None else "an odd time")
    try:
        if text[3:4] == " ":
            return _spelt(text)
        found = datetime.fromisoformat(text.replace(" +", "+"))
        if found.tzinfo is None:
            raise Odd("a time without a zone")
        return found.astimezone(UTC)
    except (ValueError, KeyError, OverflowError):
        raise Odd("an odd time") from None


def _kind(
    entry: Entry, owner: Owner, answers: str | None, answers_user: str | None, quotes: str | None
) -> Kind:
    answered = _optional_text(entry, "in_reply_to_screen_name")
    if not (answers or answers_user or answered):
        return "quote" if quotes else "post"
    if answers_user and owner.user_id:
        own = answers_user == owner.user_id
    else:
        own = answered is not None and answered.lower() == owner.handle.lower()
    return "thread" if own else "reply"


def _number(value: Any) -> int | None:
    """The number that an id is; None if it is none."""
    if isinstance(value, str):
        number = int(value) if len(value) <= 20 and value.isascii() and value.isdigit() else 0
    else:
        number = value if isinstance(value, int) and value is not True else 0
    return number if 0 < number <= MOST_ID else None


def _optional_id(entry: Entry, as_text: str, as_number: str) -> str | None:
    """The id of another tweet or user; None if the entry has none, or a word such as `-1`."""
    found = entry.get(as_text) or entry.get(as_number)
    if not found:
        return None
    if isinstance(found, dict | list):
        raise Odd(f"an odd {as_number}")
    number = _number(found)
    return None if number is None else str(number)


def _optional_text(entry: Entry, key: str) -> str | None:
    found = entry.get(key)
    if found is not None and not isinstance(found, str):
        raise Odd(f"an odd {key}")
    return found or None


def _object(entry: Entry, key: str) -> Entry:
    found = entry.get(key)
    if found is not None and not isinstance(found, dict):
        raise Odd(f"an odd {key}")
    return cast("Entry", found or {})


def _objects(entities: Entry, key: str) -> list[Entry]:
    found: Any = entities.get(key)
    if found is None or found == []:
        return []
    if not isinstance(found, list) or not all(
        isinstance(one, dict) for one in cast("list[Any]", found)
    ):
        raise Odd(f"entities with odd {key}")
    return cast("list[Entry]", found)


def _places(value: Any) -> tuple[int, int]:
    """The start and end of a part of a text. Archives have them as strings."""
    try:
        start, end = value
        return int(start), int(end)
    except (TypeError, ValueError):
        raise Odd("odd places in its text") from None


def _shown(value: Any) -> tuple[int, int] | None:
    return None if value is None else _places(value)


def _media(entities: Entry) -> tuple[str, ...]:
    return tuple(one.get("type") or "photo" for one in _objects(entities, "media"))


def _links(entities: Entry) -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = []
    for one in _objects(entities, "urls"):
        start, end = _places(one.get("indices"))
        address = one.get("expanded_url") or one.get("url") or ""
        links.append({"start": start, "end": end, "address": address})
    return links


def _quoted(links: list[dict[str, Any]]) -> str | None:
    """The tweet that the last link to a tweet leads to. X shows it below the text."""
    for link in reversed(links):
        if isinstance(link["address"], str) and (match := _STATUS.fullmatch(link["address"])):
            return str(int(match[1]))
    return None


@lru_cache(maxsize=512)
def _app(source: str) -> str | None:
    """The app's name, which is the text of a link to the app."""
    match = _ANCHOR.fullmatch(source)
    return unescape(match[1] if match else source).strip() or None


def _edits(entry: Entry, number: int) -> tuple[str, ...]:
    """The ids of all versions of an edited tweet, the oldest first."""
    for part in _object(entry, "edit_info").values():
        try:
            versions = part.get("editControlInitial", part)["editTweetIds"]
            if versions == [str(number)]:
                return ()
            numbers = {_number(version) for version in versions}
        except (AttributeError, KeyError, TypeError):
            raise Odd("an odd edit_info") from None
        if None in numbers or not numbers:
            raise Odd("an odd edit_info")
        known = sorted(filter(None, numbers))
        return tuple(map(str, known)) if len(known) > 1 else ()
    return ()


def _is_cut(text: str, links: list[dict[str, Any]], has_media: bool) -> bool:
    """Whether X cut the text.

    X put an ellipsis and a link to the tweet itself in place of the rest. Where the archive does
    not say where that link leads, it is taken for one. A person ends a text in an ellipsis, too:
    such a text is cut only if it is as long as texts could be, 140 characters or later 280.
    """
    if "…" not in text[-40:]:
        return False
    before = _LAST_LINK.sub("", text)
    ends_in_link = len(before) < len(text)
    if not before.endswith("…"):
        return False
    length = len(unescape(text))
    filled = 135 <= length <= 140 or length >= 270
    if not ends_in_link or has_media:
        return filled
    last = links[-1] if links and links[-1]["end"] >= len(before) else None
    return last is None or filled or bool(_WHOLE.match(str(last["address"])))


_SNOWFLAKES_SINCE = datetime(2010, 11, 4, 1, 42, 54, 657000, UTC)


def is_ahead(number: int, at: datetime) -> bool:
    """Whether X gives ids as high as `number` only to tweets later than `at`, by over a day."""
    return timedelta(milliseconds=number >> 22) > at - _SNOWFLAKES_SINCE + timedelta(days=1)
