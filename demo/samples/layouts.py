"""Lays out the files of an archive in each of the ways that X has had.

    2013  one file of tweets a month, and a table of all tweets
    2018  tweet.js, at the top
    2019  data/tweet.js, each entry in an object of its own
    2022  data/tweets.js in parts, with a manifest
    2024  and long posts, versions of edited tweets, and tweets that were deleted of late

Direct messages, likes and addresses are there in each of them, since a reader must not read those.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Literal, get_args

from demo.samples import entries
from demo.samples.entries import Entry, Owner
from demo.samples.sample import Sample, is_long

Layout = Literal["2013", "2018", "2019", "2022", "2024"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)

MADE: Mapping[Layout, datetime] = {
    "2013": datetime.fromisoformat("2013-09-01T00:00:00Z"),
    "2018": datetime.fromisoformat("2018-10-01T00:00:00Z"),
    "2019": datetime.fromisoformat("2019-11-01T00:00:00Z"),
    "2022": datetime.fromisoformat("2022-11-01T00:00:00Z"),
    "2024": datetime.fromisoformat("2026-11-01T00:00:00Z"),
}
"""A time at which X made archives of the layout."""

_PRIVATE = {"email": "private@example.invalid", "text": "nobody but the owner may see this"}
_COLUMNS = (
    *("tweet_id", "in_reply_to_status_id", "in_reply_to_user_id", "timestamp", "source", "text"),
    *("retweeted_status_id", "retweeted_status_user_id", "retweeted_status_timestamp"),
    "expanded_urls",
)


@dataclass(frozen=True)
class Data:
    """A file of an archive since 2018: `rows` are assigned to the part `part` of `kind`."""

    name: str
    kind: str
    rows: Sequence[Entry]
    part: int = 0

    @property
    def variable(self) -> str:
        """The JavaScript variable that the file assigns."""
        return f"YTD.{self.kind}.part{self.part}"

    def text(self) -> str:
        """Returns the file's content."""
        return _assignment(f"window.{self.variable}", self.rows)


def files(
    layout: Layout,
    owner: Owner,
    samples: Sequence[Sample],
    gone: Sequence[Sample] = (),
    parts: int = 2,
) -> dict[str, str]:
    """Returns the content of each file.

    Args:
        layout: How X laid out archives then.
        owner: Whose archive it is.
        samples: The person's tweets, the oldest first.
        gone: Tweets that the person has deleted of late. Only the newest layout tells of them.
        parts: Into how many files the two newest layouts divide the tweets.
    """
    if layout == "2013":
        return _of_2013(owner, samples)
    root = "" if layout == "2018" else "data/"
    data = [
        *_tweets(layout, root, samples, parts),
        *(_of_2024(samples, gone) if layout == "2024" else ()),
        Data(f"{root}account.js", "account", [{"account": _account(owner, samples)}]),
        Data(f"{root}direct-messages.js", "direct_messages", [{"dmConversation": _PRIVATE}]),
        Data(f"{root}like.js", "like", [{"like": {"fullText": "somebody else's tweet"}}]),
        Data(f"{root}ip-audit.js", "ip_audit", [{"ipAudit": {"loginIp": "192.0.2.7"}}]),
    ]
    found: dict[str, str] = {}
    if layout in ("2022", "2024"):
        found["data/manifest.js"] = _assignment(
            "window.__THAR_CONFIG", _manifest(owner, data, samples[-1].at)
        )
    found |= {file.name: file.text() for file in data}
    media = "tweets_media" if layout in ("2022", "2024") else "tweet_media"
    found[f"{root}{media}/1-photo.jpg"] = "not really a photograph"
    found["Your archive.html"] = "<!doctype html><title>Your archive</title>"
    return found


def _tweets(layout: Layout, root: str, samples: Sequence[Sample], parts: int) -> list[Data]:
    """Returns the files of tweets, with the newest tweets in the first."""
    listed = [
        entry for sample in samples for entry in entries.modern(sample, edits=layout == "2024")
    ]
    if layout == "2018":
        return [Data("tweet.js", "tweet", listed)]
    wrapped: list[Entry] = [{"tweet": entry} for entry in listed]
    if layout == "2019":
        return [Data("data/tweet.js", "tweet", wrapped)]
    size = -(-len(wrapped) // parts)
    starts = range(0, len(wrapped), size)
    return [
        Data(
            f"{root}tweets{f'-part{part}' if part else ''}.js",
            "tweets",
            wrapped[start : start + size],
            part,
        )
        for part, start in enumerate(reversed(starts))
    ]


def _of_2024(samples: Sequence[Sample], gone: Sequence[Sample]) -> list[Data]:
    notes = [{"noteTweet": entries.note(sample)} for sample in samples if is_long(sample.text)]
    end = samples[-1].at
    deleted = [{"tweet": entries.deleted(sample, end)} for sample in gone]
    return [
        Data("data/note-tweet.js", "note_tweet", notes),
        Data("data/deleted-tweets.js", "deleted_tweets", deleted),
    ]


def _account(owner: Owner, samples: Sequence[Sample]) -> Entry:
    return {
        "email": _PRIVATE["email"],
        "createdVia": "web",
        "username": owner.handle,
        "accountId": owner.user_id,
        "createdAt": f"{samples[0].at:%Y-%m-%dT%H:%M:%S}.000Z",
        "accountDisplayName": owner.name,
    }


def _manifest(owner: Owner, data: Sequence[Data], made: datetime) -> Entry:
    types: dict[str, dict[str, list[Entry]]] = {}
    for file in data:
        first, *others = file.kind.split("_")
        kind = types.setdefault("".join((first, *map(str.capitalize, others))), {"files": []})
        kind["files"].append(
            {
                "fileName": file.name,
                "globalName": file.variable,
                "count": str(len(file.rows)),
            }
        )
    return {
        "userInfo": {
            "accountId": owner.user_id,
            "userName": owner.handle,
            "displayName": owner.name,
        },
        "archiveInfo": {
            "sizeBytes": "0",
            "generationDate": f"{made:%Y-%m-%dT%H:%M:%S}.000Z",
            "isPartialArchive": False,
            "maxPartSizeBytes": "53687091200",
        },
        "readmeInfo": {
            "fileName": "data/README.txt",
            "directory": "data/",
            "name": "README.txt",
        },
        "dataTypes": types,
    }


def _of_2013(owner: Owner, samples: Sequence[Sample]) -> dict[str, str]:
    found: dict[str, str] = {}
    index: list[Entry] = []
    for month, sent in groupby(reversed(samples), lambda sample: f"{sample.at:%Y_%m}"):
        listed = [entries.of_2013(sample, owner) for sample in sent]
        name = f"data/js/tweets/{month}.js"
        found[name] = _assignment(f"Grailbird.data.tweets_{month}", listed).replace("= ", "=\n ", 1)
        index.append(
            {
                "file_name": name,
                "year": int(month[:4]),
                "var_name": f"tweets_{month}",
                "tweet_count": len(listed),
                "month": int(month[5:]),
            }
        )
    made = entries.time_of_2013(samples[-1].at)
    found["data/js/tweet_index.js"] = _assignment("var tweet_index", index)
    found["data/js/user_details.js"] = _assignment(
        "var user_details",
        {
            "screen_name": owner.handle,
            "full_name": owner.name,
            "bio": "A made-up person.",
            "id": owner.user_id,
            "created_at": entries.time_of_2013(samples[0].at),
        },
    )
    found["data/js/payload_details.js"] = _assignment(
        "var payload_details", {"tweets": len(samples), "created_at": made, "lang": "en"}
    )
    table = io.StringIO()
    rows = csv.writer(table, quoting=csv.QUOTE_ALL, lineterminator="\n")
    rows.writerow(_COLUMNS)
    rows.writerows(entries.row_of_2013(sample) for sample in reversed(samples))
    return found | {"tweets.csv": table.getvalue(), "README.txt": "Open index.html."}


def _assignment(name: str, value: Any) -> str:
    return f"{name} = {json.dumps(value, indent=2, ensure_ascii=False)}"
