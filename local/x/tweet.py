"""A post in the form in which X sends it: with the requested fields, and its links as t.co links.

X says nothing of the app that sent a post: it accepts the field `source` and leaves it out. It
cannot show which language X would guess, nor how often a post was seen or liked.
"""

import hashlib
import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.x.state import MOST_EDITS, Post, editable_until
from pipeline import text as rules

FIELDS = [
    *("attachments", "author_id", "context_annotations", "conversation_id", "created_at"),
    *("display_text_range", "edit_controls", "edit_history_tweet_ids", "entities", "geo", "id"),
    *("in_reply_to_user_id", "lang", "note_tweet", "possibly_sensitive", "public_metrics"),
    *("referenced_tweets", "reply_settings", "source", "text", "withheld"),
]
"""The fields that a request may name. X leaves out those that have no value."""

# A mention or a hashtag, in a text that has its HTML escapes.
_NAMED = re.compile(r"(?<![\w@#&/])(?:@(?P<username>[A-Za-z0-9_]{1,15})|#(?P<tag>\w*[^\W\d]\w*))\b")
_LEADING_MENTIONS = re.compile(r"(?:@\w{1,15}\s+)+")
_MEDIA_PREFIXES = {"photo": "3", "video": "7", "animated_gif": "16"}


def tweet(post: Post, fields: Iterable[str], conversation_id: str) -> dict[str, Any]:
    """A post with those of the requested fields that have a value."""
    sent = _sent(post, _cut(post.text), [*_quoted(post), *_media(post)])
    known: dict[str, Any] = {
        "attachments": {"media_keys": _media_keys(post)} if post.media else None,
        "author_id": post.user_id,
        "conversation_id": conversation_id,
        "created_at": _time(post.created_at),
        "display_text_range": _shown(post, sent),
        "edit_controls": _edit_controls(post),
        "entities": sent.entities or None,
        "in_reply_to_user_id": post.answers_user,
        "lang": post.language,
        "note_tweet": _note(post),
        "possibly_sensitive": False,
        "public_metrics": dict.fromkeys(
            [
                *("retweet_count", "reply_count", "like_count", "quote_count"),
                *("bookmark_count", "impression_count"),
            ],
            0,
        ),
        "referenced_tweets": _references(post) or None,
        "reply_settings": "everyone",
    }
    return {
        "edit_history_tweet_ids": [*post.edits, post.id],
        "id": post.id,
        "text": sent.text,
        **{field: known[field] for field in fields if known.get(field) is not None},
    }


@dataclass(frozen=True)
class _Link:
    """A link that X adds after the text, to media or to a quoted post."""

    address: str
    more: dict[str, Any]


@dataclass(frozen=True)
class _Sent:
    """A text as X sends it. Places in `entities`, and `end` of the author's own text, count in it.

    X counts the characters of the text with its HTML escapes.
    """

    text: str
    end: int
    entities: dict[str, Any]


def _sent(post: Post, typed: str, added: Iterable[_Link] = ()) -> _Sent:
    """Escape a text, and replace each address in it by a t.co link."""
    text = ""
    urls: list[dict[str, Any]] = []

    def link(address: str, more: dict[str, Any]) -> None:
        nonlocal text
        key = hashlib.sha256(f"{post.id} {len(urls)} {address}".encode()).hexdigest()[:10]
        url = f"https://t.co/{key}"
        place = {"start": len(text), "end": len(text) + len(url), "url": url}
        urls.append({**place, "expanded_url": address, "display_url": _display(address), **more})
        text += url

    rest = typed
    for address in rules.links(typed):
        before, _, rest = rest.partition(address)
        text += html.escape(before, quote=False)
        link(address if "://" in address else f"http://{address}", {})
    text += html.escape(rest, quote=False)
    end = len(text)
    for addition in added:
        text += " " if text else ""
        link(addition.address, addition.more)
    named = list(_NAMED.finditer(text[:end]))
    lists = {
        "urls": urls,
        "mentions": [_place(match, "username") for match in named if match["username"]],
        "hashtags": [_place(match, "tag") for match in named if match["tag"]],
    }
    return _Sent(text, end, {name: found for name, found in lists.items() if found})


def _place(match: re.Match[str], name: str) -> dict[str, Any]:
    return {"start": match.start(), "end": match.end(), name: match[name]}


def _display(address: str) -> str:
    """An address as X shows it: without its protocol, and cut."""
    shown = re.sub(r"^https?://(www\.)?", "", address)
    return shown if len(shown) <= 27 else f"{shown[:26]}…"


def _cut(text: str) -> str:
    """A text, cut with an ellipsis if it is a long post's."""
    if rules.weighted_length(text) <= rules.LIMIT:
        return text
    kept = text[: rules.LIMIT - 1]
    while (excess := rules.weighted_length(f"{kept}…") - rules.LIMIT) > 0:
        kept = kept[: -max(1, excess // 2)]
    return f"{kept}…"


def _note(post: Post) -> dict[str, Any] | None:
    """The whole of a long post's text."""
    if _cut(post.text) == post.text:
        return None
    whole = _sent(post, post.text)
    return {"text": whole.text, **({"entities": whole.entities} if whole.entities else {})}


def _quoted(post: Post) -> Iterable[_Link]:
    if post.quotes:
        yield _Link(f"https://twitter.com/i/status/{post.quotes}", {})


def _media(post: Post) -> Iterable[_Link]:
    """One link for each picture or video; all of them have the same address."""
    if post.media:
        kind = "photo" if post.media[0] == "photo" else "video"
        address = f"https://twitter.com/i/status/{post.id}/{kind}/1"
        yield _Link(address, {"media_key": _media_keys(post)[0]})


def _media_keys(post: Post) -> list[str]:
    """Keys whose prefix tells the kind of media."""
    return [
        f"{_MEDIA_PREFIXES[kind]}_{int(post.id) + number}"
        for number, kind in enumerate(post.media, start=1)
    ]


def _references(post: Post) -> list[dict[str, str]]:
    references = {"retweeted": post.retweets, "quoted": post.quotes, "replied_to": post.answers}
    return [{"type": kind, "id": id_} for kind, id_ in references.items() if id_]


def _edit_controls(post: Post) -> dict[str, Any]:
    return {
        "edits_remaining": MOST_EDITS - len(post.edits),
        "is_edit_eligible": post.editable,
        "editable_until": _time(editable_until(post)),
    }


def _shown(post: Post, sent: _Sent) -> list[int]:
    """Where the text is that X shows: without the mentions that a reply begins with."""
    leading = _LEADING_MENTIONS.match(sent.text) if post.answers_user else None
    return [leading.end() if leading else 0, sent.end]


def _time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
