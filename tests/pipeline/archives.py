"""Small archives in every layout that X has had, for tests."""

import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import archive
from pipeline.archive import Archive
from pipeline.index import Owner
from pipeline.tweets import Tweet

AT = datetime(2024, 3, 1, 10, 0, 5, tzinfo=UTC)
KEEPER = Owner("77", "keeper")
ACCOUNT = 'window.YTD.account.part0 = [{"account": {"username": "keeper", "accountId": "77"}}]'


def js(name: str, value: Any) -> str:
    return f"window.{name} = {json.dumps(value)}"


def entry(number: int, text: str | None, at: datetime = AT, **other: Any) -> dict[str, Any]:
    return {
        "id_str": str(number),
        "full_text": text,
        "created_at": f"{at:%a %b %d %H:%M:%S +0000 %Y}",
        "retweeted": False,
        "truncated": False,
    } | other


def tweets_js(*entries: Any, part: int = 0) -> str:
    return js(f"YTD.tweets.part{part}", [{"tweet": entry} for entry in entries])


def note(number: int, text: str, at: datetime = AT, urls: Any = ()) -> dict[str, Any]:
    return {
        "noteTweet": {
            "noteTweetId": str(number),
            "createdAt": f"{at:%Y-%m-%dT%H:%M:%S}.000Z",
            "core": {"text": text, "urls": list(urls)},
        }
    }


def manifest(owner: Mapping[str, str] | None = None, **counts: int) -> str:
    """A manifest that lists a file for each count, such as `tweets_part1=3`."""
    files = [
        {"fileName": f"data/{name.replace('_', '-')}.js", "count": str(count)}
        for name, count in counts.items()
    ]
    user = {"accountId": "77", "userName": "keeper"} if owner is None else owner
    return js("__THAR_CONFIG", {"userInfo": user, "dataTypes": {"tweets": {"files": files}}})


def zipped(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in files.items():
            made.writestr(name, text)
    return path


def unpacked(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def read(path: Path, files: Mapping[str, str | bytes], **options: Any) -> Archive:
    """Read these files as a zip, of @keeper if they do not say otherwise."""
    return archive.read([zipped(path / "mine.zip", files)], options.pop("owner", KEEPER), **options)


def one(path: Path, text: str, **other: Any) -> Tweet:
    """Read the only tweet of an archive."""
    (tweet,) = read(path, {"data/tweets.js": tweets_js(entry(7, text, **other))}).tweets
    return tweet


def texts(read: Archive) -> dict[str, str]:
    return {tweet.id: tweet.text for tweet in read.tweets}


def left_out(read: Archive) -> dict[str, tuple[int, list[str]]]:
    return {reason: (found.count, [*found.places]) for reason, found in read.left_out.items()}
