"""Writes a zip like the archive of their own data that X gives people (as of 2024).

It has everything that makes real archives hard to read: several parts, retweets that are not marked
as such, replies, each version of an edited tweet, truncated long posts, HTML escapes, and private
files. A correct reader finds exactly the tweets that the archive was written from.
"""

import html
import json
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

_EPOCH_MS = 1288834974657  # X's ids count milliseconds from here. 22 other bits follow.
_SHORT = 280

_Entry = dict[str, Any]


def write(path: Path, handle: str, tweets: Sequence[tuple[str, datetime]]) -> None:
    """Writes an archive of `tweets` (text and time, oldest first); long ones become long posts."""
    entries: list[_Entry] = [{"tweet": entry} for entry in _entries(tweets)]
    half = len(entries) // 2
    notes = [_note(text, at, i) for i, (text, at) in enumerate(tweets) if len(text) > _SHORT]
    parts = {
        "data/tweets.js": ("tweets", 0, entries[half:]),  # X puts the newest first.
        "data/tweets-part1.js": ("tweets", 1, entries[:half]),
        "data/note-tweet.js": ("note_tweet", 0, notes),
        "data/account.js": ("account", 0, [{"account": {"username": handle, **_PRIVATE}}]),
        "data/direct-messages.js": ("direct_messages", 0, [{"dmConversation": _PRIVATE}]),
        "data/like.js": ("like", 0, [{"like": {"fullText": "somebody else's tweet"}}]),
        "data/ip-audit.js": ("ip_audit", 0, [{"ipAudit": {"loginIp": "192.0.2.7"}}]),
    }
    written = max(at for _, at in tweets).timetuple()[:6]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, text: str) -> None:
            archive.writestr(zipfile.ZipInfo(name, written), text, zipfile.ZIP_DEFLATED)

        for name, (kind, part, rows) in parts.items():
            add(name, _assignment(f"YTD.{kind}.part{part}", rows))
        add("data/manifest.js", _assignment("__THAR_CONFIG", _manifest(handle, parts)))
        add("data/tweets_media/1-photo.jpg", "not really a photograph")
        add("Your archive.html", "<!doctype html><title>Your archive</title>")


_PRIVATE = {"email": "private@example.invalid", "text": "nobody but the owner may see this"}


def _entries(tweets: Sequence[tuple[str, datetime]]) -> Iterator[_Entry]:
    """Yields an entry for each tweet; its position decides which oddity it has."""
    for i, (text, at) in enumerate(tweets):
        id = _snowflake(at, 2 * i + 1)  # noqa: A001
        if len(text) > _SHORT:
            yield _tweet(id, f"{text[:250]}… https://t.co/n{i}", at)
        elif i % 50 == 7:
            yield (
                _tweet(id, f"@harbour_radio {text}", at)
                | {
                    "in_reply_to_user_id_str": "2244994945",  # no status id: it was deleted
                    "in_reply_to_user_id": "2244994945",
                    "in_reply_to_screen_name": "harbour_radio",
                }
            )
        elif i % 50 == 17:
            first = _snowflake(at, 2 * i)
            versions = {"editTweetIds": [first, id], "editsRemaining": "4"}
            yield _tweet(first, text[: len(text) // 2], at) | {"edit_info": {"initial": versions}}
            yield _tweet(id, text, at) | {
                "edit_info": {"edit": {"initialTweetId": first, "editControlInitial": versions}}
            }
        elif i % 50 == 27:
            yield _tweet(id, f"{text} https://t.co/p{i}", at)
        else:
            yield _tweet(id, text, at)
        if i % 20 == 3:
            retweeted = f"RT @harbour_radio: Gale warning number {i}, all areas."
            yield _tweet(_snowflake(at, 2 * i + 2), retweeted, at)


def _tweet(id: str, text: str, at: datetime) -> _Entry:  # noqa: A002
    """Returns an entry. X marks every entry as neither retweeted nor truncated."""
    return {
        "id": id,
        "id_str": id,
        "full_text": html.escape(text, quote=False),
        "created_at": f"{at:%a %b %d %H:%M:%S +0000 %Y}",
        "lang": "en",
        "retweeted": False,
        "truncated": False,
        "favorite_count": "3",
        "retweet_count": "0",
        "display_text_range": ["0", str(len(text))],
        "entities": {"hashtags": [], "symbols": [], "user_mentions": [], "urls": []},
    }


def _note(text: str, at: datetime, i: int) -> _Entry:
    """Returns a long post's whole text, not escaped. Its id is just below that of its tweet."""
    return {
        "noteTweet": {
            "noteTweetId": _snowflake(at, 2 * i),
            "createdAt": f"{at:%Y-%m-%dT%H:%M:%S}.000Z",
            "updatedAt": f"{at:%Y-%m-%dT%H:%M:%S}.000Z",
            "core": {"text": text, "urls": [], "mentions": [], "hashtags": []},
        }
    }


def _snowflake(at: datetime, number: int) -> str:
    return str(((int(at.timestamp() * 1000) - _EPOCH_MS) << 22) + number)


def _assignment(name: str, value: Any) -> str:
    return f"window.{name} = {json.dumps(value, indent=2, ensure_ascii=False)}"


def _manifest(handle: str, parts: dict[str, tuple[str, int, list[_Entry]]]) -> _Entry:
    types: dict[str, dict[str, list[_Entry]]] = {}
    for name, (kind, part, rows) in parts.items():
        file = {
            "fileName": name,
            "globalName": f"YTD.{kind}.part{part}",
            "count": str(len(rows)),
        }
        types.setdefault(kind, {"files": []})["files"].append(file)
    return {"userInfo": {"userName": handle, "displayName": handle}, "dataTypes": types}
