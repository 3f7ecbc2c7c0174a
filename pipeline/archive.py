"""Reads tweets from the archive zip that X gives people of their own account.

The zip also holds direct messages, likes and addresses. Only its manifest and its files of tweets
are read, and nothing is unpacked to disk.
"""

import html
import json
import re
import zipfile
import zlib
from bisect import bisect_right
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, cast

from pydantic import ValidationError

from pipeline.errors import UserError
from pipeline.tweets import Tweet

_MOST_BYTES = 2 * 1024**3  # unpacked; a hundred thousand tweets have about 200 MB
_DOWNLOAD_AGAIN = "download it again at https://x.com/settings/download_your_data"

# tweets.js since 2022, tweet.js before; in archives of 2013, one file a month.
_TWEETS = re.compile(r"(?:^|/)(?:tweets?(?:-part\d+)?|js/tweets/\d{4}_\d{2})\.js$")
_NOTES = re.compile(r"(?:^|/)note-tweet(?:-part\d+)?\.js$")
_MANIFEST = re.compile(r"(?:^|/)data/manifest\.js$")
_ASSIGNMENT = re.compile(r"\s*(?:window\.\w+|Grailbird)[\w.]*\s*=")

_TIME_FORMATS = ("%a %b %d %H:%M:%S %z %Y", "%Y-%m-%d %H:%M:%S %z", "%Y-%m-%dT%H:%M:%S.%f%z")

# The errors that reading an entry out of damaged JSON can raise.
_MALFORMED = (KeyError, IndexError, TypeError, ValueError, AttributeError, ValidationError)


def read(path: Path, handle: str) -> list[Tweet]:
    """Read the tweets of @`handle`, the oldest first.

    Retweets are left out. Long posts are whole. Of an edited tweet only the last version is kept.

    Raises:
        UserError: The file is not an archive made by X, is damaged or incomplete, or belongs to
            another user.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            return _Archive(opened, path.name).tweets(handle)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise UserError(f"{path}: not a whole zip file ({error}); {_DOWNLOAD_AGAIN}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from None


class _Archive:
    """An opened archive; every fault in it is a UserError that names the file."""

    def __init__(self, opened: zipfile.ZipFile, label: str) -> None:
        self._zip = opened
        self._label = label
        for name in opened.namelist():
            parts = PurePosixPath(name.replace("\\", "/"))
            if parts.is_absolute() or ".." in parts.parts:
                raise self._fault(
                    name, "has a path that leads out of the archive, and X writes no such path"
                )

    def tweets(self, handle: str) -> list[Tweet]:
        files = {name: self._entries(name, "tweet") for name in self._names(_TWEETS)}
        if not files:
            raise self._fault("data/tweets.js", "is missing, so X did not make this archive")
        notes = {name: self._entries(name, "noteTweet") for name in self._names(_NOTES)}
        for name in self._names(_MANIFEST):
            self._check(name, handle, files | notes)

        by_id: dict[int, Tweet] = {}
        outdated: set[int] = set()
        for name, entries in files.items():
            for entry in entries:
                try:
                    by_id[int(_id(entry))] = _tweet(entry)
                    outdated.update(_edits(entry)[:-1])
                except _MALFORMED:
                    raise self._fault(name, "has an entry that is not a tweet") from None
        for name, entries in notes.items():
            try:
                by_id |= _with_long_texts(entries, by_id)
            except _MALFORMED:
                raise self._fault(name, "has an entry that is not a long post") from None
        return [
            tweet
            for number, tweet in sorted(by_id.items())
            if number not in outdated and not tweet.text.startswith("RT @")
        ]

    def _check(self, name: str, handle: str, files: dict[str, list[Any]]) -> None:
        """Check whose archive it is, and how many entries each file has, against the manifest."""
        manifest = self._json(name)
        try:
            owner = manifest["userInfo"]["userName"]
            listed = [f for kind in manifest["dataTypes"].values() for f in kind.get("files", [])]
            counts = {
                file["fileName"]: int(file["count"])
                for file in listed
                if _TWEETS.search(file["fileName"]) or _NOTES.search(file["fileName"])
            }
        except _MALFORMED:
            raise self._fault(name, "is damaged") from None
        if owner.lower() != handle.lower():
            raise UserError(
                f"{self._label} is the archive of @{owner}, not of @{handle}; "
                "import it for the account whose handle that is"
            )
        root = name.removesuffix("data/manifest.js")
        for file, count in counts.items():
            held = len(files.get(root + file, []))
            if held != count:
                raise self._fault(file, f"has {held} entries, and the manifest says {count}")

    def _names(self, pattern: re.Pattern[str]) -> list[str]:
        files = [info for info in self._zip.infolist() if pattern.search(info.filename)]
        if sum(info.file_size for info in files) > _MOST_BYTES:
            raise self._fault(files[0].filename, f"unpacks to over {_MOST_BYTES >> 30} GiB")
        return [info.filename for info in files]

    def _entries(self, name: str, wrapper: str) -> list[Any]:
        listed = self._json(name)
        if not isinstance(listed, list):
            raise self._fault(name, "is damaged")
        return [_unwrapped(entry, wrapper) for entry in cast("list[Any]", listed)]

    def _json(self, name: str) -> Any:
        """The value that the one assignment in a file of JavaScript assigns."""
        try:
            text = self._zip.read(name).decode("utf-8-sig")
            assignment = _ASSIGNMENT.match(text)
            if assignment is None:
                raise self._fault(name, "does not have the form that X writes")
            return json.loads(text[assignment.end() :].strip().removesuffix(";"))
        except (ValueError, RecursionError):
            raise self._fault(name, "is damaged") from None

    def _fault(self, name: str, fault: str) -> UserError:
        return UserError(f"{self._label}: {name} {fault}; {_DOWNLOAD_AGAIN}")


def _unwrapped(entry: Any, wrapper: str) -> Any:
    """Since 2019 each entry is wrapped in an object of its own."""
    return cast("dict[str, Any]", entry).get(wrapper, entry) if isinstance(entry, dict) else entry


def _id(entry: Any) -> str:
    return str(entry["id_str"] if "id_str" in entry else entry["id"])


def _tweet(entry: Any) -> Tweet:
    return Tweet(
        id=_id(entry),
        text=entry["full_text"] if "full_text" in entry else entry["text"],
        created_at=_time(entry["created_at"]),
        source="archive",
    )


def _edits(entry: Any) -> list[int]:
    """The ids of all versions of a tweet, the current one last."""
    for part in entry.get("edit_info", {}).values():
        control = part.get("editControlInitial", part)
        return sorted(int(number) for number in control["editTweetIds"])
    return []


def _with_long_texts(notes: list[Any], tweets: dict[int, Tweet]) -> dict[int, Tweet]:
    """The long posts among `tweets`, each with its whole text from `notes`.

    A note does not name its tweet. The tweet is the one with the smallest id above the note's own,
    if it was created in the same second. A note's text is not escaped, unlike a tweet's.
    """
    numbers = sorted(tweets)
    long_posts: dict[int, Tweet] = {}
    for note in notes:
        place = bisect_right(numbers, int(note["noteTweetId"]))
        text = html.escape(note["core"]["text"], quote=False)
        if place < len(numbers):
            tweet = tweets[numbers[place]]
            if abs(tweet.created_at - _time(note["createdAt"])) <= timedelta(seconds=1):
                long_posts[numbers[place]] = tweet.model_copy(update={"text": text})
    return long_posts


def _time(text: str) -> datetime:
    for form in _TIME_FORMATS:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 each form has a zone
        except ValueError:
            continue
    raise ValueError(text)
