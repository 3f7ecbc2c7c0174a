"""Writes a tweet as an entry of an archive: as X wrote it since 2017, and as in 2013."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from demo.samples.sample import Sample, Span, is_long, user_id
from pipeline.text import weighted_length

Entry = dict[str, Any]

_APPS = {
    "Twitter Web App": "https://mobile.twitter.com",
    "Twitter for Android": "http://twitter.com/download/android",
    "Twitter for iPhone": "http://twitter.com/download/iphone",
}
_SHOWN = 250  # weighted characters of a long post, before X cuts it


@dataclass(frozen=True)
class Owner:
    """Whose archive it is."""

    handle: str
    user_id: str
    name: str


def modern(sample: Sample, edits: bool) -> list[Entry]:
    """Returns the entries of a tweet: one for each version if X let people edit, else one.

    X marks every tweet as neither retweeted nor truncated. All numbers are text.
    """
    if not edits:
        return [_modern(sample)]
    ids = [*(version.id for version in sample.versions), sample.id]
    earlier = [
        _modern(sample.at_version(version)) | _edit_info(version.id, version.at, ids)
        for version in sample.versions
    ]
    return [*earlier, _modern(sample) | _edit_info(sample.id, sample.at, ids)]


def deleted(sample: Sample, at: datetime) -> Entry:
    """Returns the entry of a tweet that its author deleted."""
    return _modern(sample) | {"deleted_at": _time(at)}


def note(sample: Sample) -> Entry:
    """Returns a long post's whole text, not escaped. Its id is just below that of its tweet."""
    at = f"{sample.at:%Y-%m-%dT%H:%M:%S}.000Z"
    return {
        "noteTweetId": str(int(sample.id) - 1),
        "createdAt": at,
        "updatedAt": at,
        "lifecycle": {"value": "2", "name": "Draft", "originalName": "Draft"},
        "core": {"styletags": [], "urls": [], "text": sample.text, "mentions": [], "hashtags": []},
    }


def of_2013(sample: Sample, owner: Owner) -> Entry:
    """Returns the entry of a tweet as in 2013: the text is `text`, and numbers are numbers."""
    sample = _cut_if_long(sample)
    entities = _entities(sample)
    media = _media(sample)
    entry: Entry = {
        "source": _anchor(sample.app),
        "entities": {
            "user_mentions": _numbers(entities["user_mentions"]),
            "media": _numbers(media),
            "hashtags": _numbers(entities["hashtags"]),
            "urls": _numbers(entities["urls"]),
        },
        "geo": {},
        "id_str": sample.id,
        "text": sample.escaped,
        "id": int(sample.id),
        "created_at": time_of_2013(sample.at),
        "user": {
            "name": owner.name,
            "screen_name": owner.handle,
            "protected": False,
            "id_str": owner.user_id,
            "profile_image_url_https": "https://photos.example.org/me.png",
            "id": int(owner.user_id),
            "verified": False,
        },
    }
    answered = _answered(sample)
    entry |= {key: int(answered[key]) for key in answered if key.endswith("_id")}
    return entry | {key: answered[key] for key in answered if not key.endswith("_id")}


def row_of_2013(sample: Sample) -> list[str]:
    """Returns a tweet's row in `tweets.csv`, which lay beside the entries in 2013."""
    sample = _cut_if_long(sample)
    answered = sample.answered
    return [
        sample.id,
        (answered and answered.tweet) or "",
        answered.user if answered else "",
        time_of_2013(sample.at),
        _anchor(sample.app),
        sample.escaped,
        *("", "", ""),
        ",".join(link.full for link in (*sample.links, *sample.photos)),
    ]


def time_of_2013(at: datetime) -> str:
    """Returns a time as in the archives of 2013."""
    return f"{at:%Y-%m-%d %H:%M:%S} +0000"


def _time(at: datetime) -> str:
    return f"{at:%a %b %d %H:%M:%S +0000 %Y}"


def _modern(sample: Sample) -> Entry:
    sample = _cut_if_long(sample)
    entry: Entry = {
        "retweeted": False,
        "source": _anchor(sample.app),
        "entities": _entities(sample),
        "display_text_range": ["0", str(len(sample.escaped))],
        "favorite_count": "3",
        "id_str": sample.id,
        "truncated": False,
        "retweet_count": "0",
        "id": sample.id,
        "created_at": _time(sample.at),
        "favorited": False,
        "full_text": sample.escaped,
        "lang": sample.language,
    }
    if media := _media(sample):
        entry["entities"]["media"] = media[:1]
        entry |= {"extended_entities": {"media": media}, "possibly_sensitive": False}
    return entry | _answered(sample)


def _edit_info(id: str, at: datetime, ids: list[str]) -> Entry:  # noqa: A002
    control = {
        "editTweetIds": ids,
        "editableUntil": f"{at + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}.000Z",
        "editsRemaining": str(6 - len(ids)),
        "isEditEligible": True,
    }
    if id == ids[0]:
        return {"edit_info": {"initial": control}}
    return {"edit_info": {"edit": {"initialTweetId": ids[0], "editControlInitial": control}}}


def _cut_if_long(sample: Sample) -> Sample:
    """Returns the tweet with the start of its text and a link to itself, if it is too long."""
    if not is_long(sample.text):
        return sample
    text = sample.text[: _SHOWN + 1]  # A character weighs 1 or 2.
    fitting = bisect_right(range(len(text)), _SHOWN, key=lambda end: weighted_length(text[:end]))
    return sample.cut_to(text[: fitting - 1])


def _anchor(app: str) -> str:
    address = _APPS.get(app, f"https://{app.lower().replace(' ', '-')}.example.com")
    return f'<a href="{address}" rel="nofollow">{app}</a>'


def _answered(sample: Sample) -> Entry:
    """Returns whom and what a tweet answers. X leaves out the keys of what is gone."""
    if sample.answered is None:
        return {}
    answered = sample.answered
    found: Entry = {
        "in_reply_to_user_id": answered.user,
        "in_reply_to_user_id_str": answered.user,
    }
    if answered.tweet is not None:
        found["in_reply_to_status_id"] = found["in_reply_to_status_id_str"] = answered.tweet
    if answered.handle is not None:
        found["in_reply_to_screen_name"] = answered.handle
    return found


def _entities(sample: Sample) -> Entry:
    return {
        "hashtags": [{"text": tag.value, "indices": _indices(tag)} for tag in sample.hashtags()],
        "symbols": [],
        "user_mentions": [
            {
                "name": mention.value.removeprefix("example_").title(),
                "screen_name": mention.value,
                "indices": _indices(mention),
                "id_str": user_id(mention.value),
                "id": user_id(mention.value),
            }
            for mention in sample.mentions()
        ],
        "urls": [
            {
                "url": link.short,
                "expanded_url": link.full,
                "display_url": link.full.removeprefix("https://")[:26],
                "indices": _place(sample, link.short),
            }
            for link in sample.links
        ],
    }


def _media(sample: Sample) -> list[Entry]:
    return [
        {
            "expanded_url": photo.full,
            "indices": _place(sample, photo.short),
            "url": photo.short,
            "media_url": f"http://photos.example.org/{sample.id}-{number}.jpg",
            "media_url_https": f"https://photos.example.org/{sample.id}-{number}.jpg",
            "id_str": str(int(sample.id) - number),
            "id": str(int(sample.id) - number),
            "sizes": {"thumb": {"w": "150", "h": "150", "resize": "crop"}},
            "type": "photo",
            "display_url": photo.short.removeprefix("https://"),
        }
        for number, photo in enumerate(sample.photos, 1)
    ]


def _place(sample: Sample, text: str) -> list[str]:
    start = sample.escaped.rindex(text)
    return _indices(Span(start, start + len(text), text))


def _indices(span: Span) -> list[str]:
    return [str(span.start), str(span.end)]


def _numbers(entities: Iterable[Entry]) -> list[Entry]:
    """Returns entities as in 2013, where `id` and `indices` are numbers."""
    return [
        entity
        | {"indices": [int(place) for place in entity["indices"]]}
        | ({"id": int(entity["id"])} if "id" in entity else {})
        for entity in entities
    ]
