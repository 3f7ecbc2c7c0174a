"""Puts the whole texts of long posts in place of their beginnings.

An archive has a long post twice: as a tweet whose text X cut, and as a note with all of it. A note
does not name its tweet. The tweet is the one with the smallest id above the note's own, if it was
created in the same second.
"""

from datetime import timedelta
from html import escape
from typing import Any, cast

from pipeline.archive.entries import Entry, Odd, identifier, time
from pipeline.archive.kept import Kept
from pipeline.tweets import Tweet


def complete(note: Entry, tweets: Kept) -> None:
    """Give the tweet of a note its whole text, if it is there; raises Odd if it is no note."""
    core = note.get("core")
    text: Any = cast("Entry", core).get("text") if isinstance(core, dict) else None
    if not isinstance(text, str):
        raise Odd("no text")
    at = time(note.get("createdAt"))
    tweet = tweets.above(identifier({"id": note.get("noteTweetId")}))
    if tweet is None or abs(tweet.created_at - at) > timedelta(seconds=1):
        return
    # A note's text is not escaped, unlike a tweet's. Places in the tweet's text mean nothing here.
    whole = escape(text, quote=False)
    known = tweet.model_dump(exclude={"shown"})
    links = _links(cast("Entry", core), whole)
    tweets.replace(Tweet.model_validate(known | {"text": whole, "links": links, "cut": False}))


def _links(core: Entry, text: str) -> list[dict[str, Any]]:
    """The links of a note, each where its short address is in the text."""
    links: list[dict[str, Any]] = []
    place = 0
    urls: Any = core.get("urls")
    for url in cast("list[Any]", urls) if isinstance(urls, list) else []:
        if not isinstance(url, dict):
            raise Odd("an odd link")
        short, full = (cast("Entry", url).get(key) for key in ("shortUrl", "expandedUrl"))
        if not isinstance(short, str) or not isinstance(full, str):
            raise Odd("an odd link")
        start = text.find(short, place) if short else -1
        if start >= 0:
            place = start + len(short)
            links.append({"start": start, "end": place, "address": full})
    return links
