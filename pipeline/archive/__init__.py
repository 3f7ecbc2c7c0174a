"""Reads the tweets of one person from what X or other tools give them of their own account.

X's archive also holds direct messages, likes and addresses. Only its files of tweets are read, and
whose archive it is. Everything is read as a stream: memory does not grow with the archive.

The modules: `files` finds what may be read, `javascript` and `formats` read it entry by entry,
`entries` and `notes` make tweets of the entries, `owners` says whose they are, `kept` holds them.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from pipeline.archive import entries, formats, javascript, notes, owners
from pipeline.archive.entries import Entry, Odd
from pipeline.archive.files import File, Files, Kind, kind_of
from pipeline.archive.javascript import Damaged
from pipeline.archive.kept import Kept
from pipeline.errors import UserError
from pipeline.index import Owner
from pipeline.tweets import Tweet

_MOST_PLACES = 5
# Pydantic takes half a surrogate pair, and cannot write it.
_ODD = (Odd, ValidationError, PydanticSerializationError)
_TWEETS: frozenset[Kind] = frozenset(("tweets", "csv", "txt", "jsonl"))
# Files that hold one value, which says something of the whole archive.
_VALUES: frozenset[Kind] = frozenset(("manifest", "account", "user", "months"))
# The key of the object that wraps each entry since 2019.
_WRAPPERS: dict[Kind, str] = {
    "tweets": "tweet",
    "deleted": "tweet",
    "jsonl": "tweet",
    "notes": "noteTweet",
}


@dataclass(frozen=True)
class LeftOut:
    """Entries that are left out for one reason.

    Attributes:
        count: How many there are.
        places: Where the first of them are.
    """

    count: int = 0
    places: tuple[str, ...] = ()

    def one_more(self, place: str) -> "LeftOut":
        """These and another one."""
        return LeftOut(self.count + 1, (*self.places, place)[:_MOST_PLACES])


@dataclass(frozen=True)
class Archive:
    """What an archive holds of its owner.

    Attributes:
        owner: Whose tweets they are.
        label: What messages call the archive.
        tweets: Their tweets on disk, the oldest first. Of an edited tweet only the newest version
            is there, and retweets are not. Of these, and of deleted tweets, it has the ids.
        retweets: The number of retweets.
        left_out: The odd entries, by what is wrong with them.
        stray: Files that do not belong to the archive and were not read.
        missing: What the archive says it has and has not.
        newest: The newest id in it; it has all tweets up to that one. None if nobody can know that
            it has all.
    """

    owner: Owner
    label: str
    tweets: Kept
    retweets: int
    left_out: dict[str, LeftOut]
    stray: list[str]
    missing: list[str]
    newest: int | None


def read(paths: Iterable[Path], owner: Owner | None = None, *, partial: bool = False) -> Archive:
    """Read the tweets of one person.

    Args:
        paths: A zip as X made it, or all zips of one archive; the folder that it was unpacked
            into; `tweets.js` or `tweets.csv` alone; lines of text or JSON.
        owner: Whose tweets they are, where the archive does not say it.
        partial: Whether to read an archive that lacks something.

    Raises:
        UserError: It is no archive, is damaged or incomplete, or nobody knows whose it is.
    """
    paths = list(paths)
    label = " and ".join(path.name or str(path) for path in paths)
    try:
        with Files(paths) as files:
            return _Reading(files, label, owner, partial=partial).archive()
    except sqlite3.OperationalError as error:
        raise UserError(
            f"{label}: its tweets do not fit into the folder of temporary files ({error}); set"
            " TMPDIR to a folder with more room"
        ) from None


class _Reading:
    """Reads the files of an archive, one after the other."""

    def __init__(self, files: Files, label: str, owner: Owner | None, *, partial: bool) -> None:
        self._files = files
        self._label = label
        self._partial = partial
        self._tweets = Kept()
        self._retweets = 0
        self._left_out = defaultdict[str, LeftOut](LeftOut)
        self._missing: list[str] = []
        self._newest: int | None = None
        own, self._stray = _of_one_archive(files.found, label)
        values = {file.label: (file, self._value(file)) for file in own if file.kind in _VALUES}
        stated = {name: owners.stated(file, value) for name, (file, value) in values.items()}
        self._owner = owners.agreed({n: o for n, o in stated.items() if o}, owner, label)
        self._listed: dict[str, int] = {}
        for file, value in values.values():
            self._listed |= _listed(file, value)
        self._own = own
        # Without a list, nobody knows whether a lone file is all that there is.
        self._is_whole = bool(self._listed) or all(file.changed is None for file in own)

    def archive(self) -> Archive:
        counts: Counter[str] = Counter()
        for kind in ("tweets", "csv", "txt", "jsonl", "notes", "deleted"):
            for file in self._of_kind(kind):
                if self._is_stray(file):
                    self._stray.append(f"{file.label} (its manifest does not list it)")
                else:
                    counts[file.name] += self._read(file)
        self._check(counts)
        self._tweets.drop_outdated()
        return Archive(
            owner=self._owner,
            label=self._label,
            tweets=self._tweets,
            retweets=self._retweets,
            left_out=dict(self._left_out),
            stray=self._stray,
            missing=self._missing,
            newest=self._newest if self._is_whole and not self._missing else None,
        )

    def _of_kind(self, kind: Kind) -> list[File]:
        """The files of that kind. `tweets.csv` has the same tweets as the files of each month."""
        found = [file for file in self._own if file.kind == kind]
        if kind == "csv" and any(file.kind == "tweets" for file in self._own):
            return [file for file in found if file.changed is not None]
        return found

    def _is_stray(self, file: File) -> bool:
        kind = file.kind in ("tweets", "notes")
        return kind and bool(self._listed) and file.name not in self._listed

    def _check(self, counts: Counter[str]) -> None:
        """Compare the number of entries with what the archive says of itself."""
        for name, count in self._listed.items():
            if counts[name] != count:
                held = f"{counts[name]} of " if name in counts else ""
                self._missing.append(f"{name} ({held}{count} entries)")
        if self._missing and not self._partial:
            first, *others = self._missing
            more = f" and {len(others)} more" if others else ""
            raise UserError(
                f"{self._label} lacks {first}{more}; name every zip of the archive, or"
                " download it again at https://x.com/settings/download_your_data, or import what"
                " is there with `--partial`"
            )

    def _value(self, file: File) -> Any:
        try:
            return javascript.value(self._files.blocks(file))
        except Damaged as damaged:
            raise file.fault(str(damaged)) from None

    def _read(self, file: File) -> int:
        """Read the entries of a file; returns how many there are."""
        count = 0
        try:
            for count, found in enumerate(self._entries(file), start=1):
                try:
                    self._take(file.kind, _unwrapped(found, file.kind))
                except _ODD as odd:
                    reason = str(odd) if isinstance(odd, Odd) else "an odd character"
                    place = f"{file.label}, entry {count}"
                    self._left_out[reason] = self._left_out[reason].one_more(place)
        except Damaged as damaged:
            raise file.fault(str(damaged)) from None
        return count

    def _entries(self, file: File) -> Iterator[Any]:
        blocks = self._files.blocks(file)
        match file.kind:
            case "csv":
                return formats.from_csv(blocks)
            case "jsonl":
                return formats.from_jsonl(blocks)
            case "txt":
                return formats.from_text(blocks, file.changed or 0)
            case _:
                return javascript.entries(blocks)

    def _take(self, kind: Kind, entry: Entry) -> None:
        if kind == "notes":
            notes.complete(entry, self._tweets)
        elif kind == "deleted":
            self._tweets.note_deleted(entries.identifier(entry))
        elif entries.is_retweet(entry):
            number = entries.identifier(entry)
            self._tweets.note_other(number)
            self._reaches(number, entries.time(entry.get("created_at")))
            self._retweets += 1
        else:
            try:
                tweet = self._tweet(kind, entry)
                self._tweets.add(tweet)
            except _ODD:
                # That it could not be read does not mean that it was deleted.
                self._tweets.note_other(entries.identifier(entry))
                raise
            self._reaches(int(tweet.id), tweet.created_at)

    def _tweet(self, kind: Kind, entry: Entry) -> Tweet:
        known = formats.record(entry) if kind == "jsonl" else None
        return known or entries.tweet(entry, self._owner)

    def _reaches(self, number: int, at: datetime) -> None:
        """Note how far the archive reaches. An id of the future would hide all that comes."""
        if number > (self._newest or 0) and not entries.is_ahead(number, at):
            self._newest = number


def _of_one_archive(found: list[File], label: str) -> tuple[list[File], list[str]]:
    """The files of the one archive among those that were found, and the names of the others."""
    roots = {(file.source, file.root) for file in found if file.kind in _TWEETS}
    for source in {source for source, _ in roots}:
        here = {root for at, root in roots if at == source}
        listed = {f.root for f in found if f.source == source and f.kind == "manifest"} & here
        if len(here) > 1:
            if len(listed) != 1:
                names = ", ".join(sorted(root or "." for root in here))
                raise UserError(
                    f"{source.name} has tweets of several archives, in {names}; import them one"
                    " after the other"
                )
            roots -= {(source, root) for root in here - listed}
    # A file that is given alone was meant.
    own = [f for f in found if (f.source, f.root) in roots or f.changed is not None]
    if not own:
        raise UserError(
            f"{label}: data/tweets.js is missing, so X did not make this archive; download it"
            " again at https://x.com/settings/download_your_data"
        )
    named: dict[str, File] = {}
    for file in own:
        if file.kind not in _VALUES and named.setdefault(file.name, file) is not file:
            raise UserError(
                f"{file.label} and {named[file.name].label} are of two archives, or one is there"
                " twice; import them one after the other"
            )
    stray = [
        f"{file.label} (in another folder)"
        for file in found
        if file.kind in _TWEETS and file not in own
    ]
    return own, stray


def _listed(file: File, value: Any) -> dict[str, int]:
    """The files of tweets that an archive says it has, each with its number of entries."""
    counts: dict[str, int] = {}
    try:
        for path, count in _parts(file, value):
            match kind_of(path):
                case ("tweets" | "notes", _, name):
                    counts[name] = int(count)
                case _:
                    pass
    except (KeyError, TypeError, ValueError, AttributeError):
        raise file.fault("is damaged") from None
    return counts


def _parts(file: File, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the path and the number of entries of each file that is listed."""
    if file.kind == "manifest":
        for kind in value["dataTypes"].values():
            for part in kind.get("files", []):
                yield part["fileName"], part.get("count")
    if file.kind == "months":
        for part in value:
            yield part["file_name"], part["tweet_count"]


def _unwrapped(found: Any, kind: Kind) -> Entry:
    if isinstance(found, Odd):
        raise found
    if isinstance(found, dict):
        wrapped: Any = cast("Entry", found).get(_WRAPPERS.get(kind, ""), cast("Entry", found))
        if isinstance(wrapped, dict):
            return cast("Entry", wrapped)
    raise Odd("no object")
