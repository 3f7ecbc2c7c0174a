"""The corpus: an account's tweets that are worth training on, and which of them are held out."""

import hashlib
import html
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline import index, layout
from pipeline.store import Store
from pipeline.tweets import Tweet, from_jsonl, together

_RETWEET = re.compile(r"RT @\w")
# X turns every address into a t.co link. Only the oldest archives hold addresses as typed.
_LINK = re.compile(r"https?://(?:t\.co/[A-Za-z0-9]+(?:\?[!-~]*)?|[^\s<>\"]+)", re.IGNORECASE)
_LEADING_MENTIONS = re.compile(r"^(?:\.?[@\uff20]\w{1,20}[:,]?(?:\s+|$))+")
_SPACES = re.compile(r"[^\S\n]+")
_NEWLINES = re.compile(r" ?\n[ \n]*")
# The end token within a text would end the training example there.
_NOT_TEXT = re.compile(r"<\|endoftext\|>|[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")


def clean(raw_text: str) -> str | None:
    """The part of a tweet that its author wrote; None if it has nothing to learn from.

    Drops retweets, links and the mentions that a reply begins with. Undoes X's HTML escapes.
    """
    text = unicodedata.normalize("NFC", html.unescape(raw_text))
    if _RETWEET.match(text):
        return None
    text = _LINK.sub(" ", _NOT_TEXT.sub(" ", text))
    text = _NEWLINES.sub("\n", _SPACES.sub(" ", text)).strip()
    text = _LEADING_MENTIONS.sub("", text)
    return text if any(c.isalpha() for c in text) else None


def corpus(tweets: Iterable[Tweet]) -> list[Tweet]:
    """The tweets with clean texts, one for each id and each text, the oldest first.

    For an id, the longest text is kept, since the others were cut. For a text, the oldest tweet is
    kept, so that the choice does not change when newer tweets arrive.
    """
    by_id: dict[int, Tweet] = {}
    for tweet in tweets:
        text = clean(tweet.text)
        if text is None:
            continue
        known = by_id.get(int(tweet.id))
        if known is None or len(known.text) < len(text):
            by_id[int(tweet.id)] = tweet.model_copy(update={"text": text})
    by_text: dict[str, Tweet] = {}
    for _, tweet in sorted(by_id.items()):
        by_text.setdefault(tweet.text.casefold(), tweet)
    return list(by_text.values())


def without(tweets: Iterable[Tweet], posted: Iterable[str]) -> list[Tweet]:
    """The tweets without the bot's own posts.

    A bot may post as the very user whose tweets it learns from.
    """
    own = {(clean(text) or "").casefold() for text in posted}
    return [tweet for tweet in tweets if tweet.text.casefold() not in own]


def held_out(tweet_id: str) -> bool:
    """Whether the tweet belongs to the tenth that no model ever trains on.

    The id alone decides, so the held-out set grows with the corpus and never loses a tweet.
    """
    return int.from_bytes(hashlib.sha256(tweet_id.encode()).digest()[:4]) % 10 == 0


def digest(tweets: Iterable[Tweet]) -> str:
    """The digest of a data set: the SHA-256, in hex, of its ids and texts in their order."""
    sha = hashlib.sha256()
    for tweet in tweets:
        sha.update(json.dumps([tweet.id, tweet.text]).encode() + b"\n")
    return sha.hexdigest()


@dataclass(frozen=True)
class Collected:
    """How much was collected of an account.

    Attributes:
        tweets: The number of tweets. A tweet that came from an archive and later from the timeline
            counts twice: to notice it, all tweets would have to be read.
        newest_id: The newest tweet that came from the timeline; None if none did.
    """

    tweets: int
    newest_id: str | None


def collected(store: Store, account: str) -> Collected:
    """Count an account's tweets by the timeline's index and the names of archive segments."""
    stored = index.read(store, account)
    timeline = stored.document if stored else None
    archives = store.names(layout.archive_segments(account))
    return Collected(
        tweets=(timeline.count if timeline else 0) + sum(map(layout.new_in_archive, archives)),
        newest_id=timeline and timeline.newest_id,
    )


def read(store: Store, account: str) -> list[Tweet]:
    """Read all tweets that were collected of an account, uncleaned, the oldest first.

    A tweet that several segments hold is one tweet, with all that is known of it.
    """
    tweets: list[Tweet] = []
    for name in store.names(layout.segments(account)):
        segment = store.read(name)
        if segment is not None:
            tweets += from_jsonl(segment.data, name)
    return together(tweets)
