"""Keeps tweets on disk instead of in memory, one for each id and in the order of their ids.

The database has no name and vanishes with the process. It holds tweets and nothing else of an
archive.
"""

import sqlite3
import weakref
from collections.abc import Iterator

from pipeline.tweets import Tweet, to_jsonl, together

MOST_ID = 2**64 - 1
_MIDDLE = 2**63  # SQLite's integers have a sign.


class Kept:
    """Tweets on disk. Iterating yields them, the oldest first."""

    def __init__(self) -> None:
        # An empty name is a file of SQLite's own, which has no name in any folder. Python's
        # collector may close it from another thread.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._db.close)
        self._db.create_function("merged", 2, _merged, deterministic=True)
        self._db.executescript(
            """
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            PRAGMA cache_size = -32000;
            CREATE TABLE tweets (id INTEGER PRIMARY KEY, line BLOB NOT NULL);
            CREATE TABLE others (id INTEGER PRIMARY KEY);
            CREATE TABLE deleted (id INTEGER PRIMARY KEY);
            CREATE TABLE edits (older INTEGER, newer INTEGER);
            BEGIN;
            """
        )

    def __len__(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM tweets").fetchone()
        return count

    def __iter__(self) -> Iterator[Tweet]:
        for (line,) in self._db.execute("SELECT line FROM tweets ORDER BY id"):
            yield Tweet.model_validate_json(line)

    def get(self, number: int) -> Tweet | None:
        """The tweet with that id; None if it is not kept."""
        return self._tweet("SELECT line FROM tweets WHERE id = ?", number)

    def above(self, number: int) -> Tweet | None:
        """The tweet with the smallest id above `number`; None if there is none."""
        return self._tweet("SELECT line FROM tweets WHERE id > ? ORDER BY id LIMIT 1", number)

    def saw(self, number: int) -> bool:
        """Whether an id was there, be it as a tweet or as anything else."""
        row = {"id": number - _MIDDLE}
        found = self._db.execute(
            "SELECT 1 FROM tweets WHERE id = :id UNION ALL SELECT 1 FROM others WHERE id = :id", row
        )
        return found.fetchone() is not None

    def deleted(self) -> Iterator[int]:
        """Yield the ids that were noted as deleted, the lowest first."""
        for (number,) in self._db.execute("SELECT id FROM deleted ORDER BY id"):
            yield number + _MIDDLE

    def add(self, tweet: Tweet) -> None:
        """Keep a tweet, with all that is known of it if it is kept already."""
        number = int(tweet.id)
        self._db.execute(
            "INSERT INTO tweets VALUES (?, ?)"
            " ON CONFLICT DO UPDATE SET line = merged(line, excluded.line)",
            (number - _MIDDLE, to_jsonl([tweet])),
        )
        for version in map(int, tweet.edits):
            if version != number:
                pair = sorted((version - _MIDDLE, number - _MIDDLE))
                self._db.execute("INSERT INTO edits VALUES (?, ?)", pair)

    def replace(self, tweet: Tweet) -> None:
        """Keep a tweet in place of what is kept under its id."""
        row = (int(tweet.id) - _MIDDLE, to_jsonl([tweet]))
        self._db.execute("INSERT OR REPLACE INTO tweets VALUES (?, ?)", row)

    def note_other(self, number: int) -> None:
        """Note an id whose tweet is not kept."""
        self._db.execute("INSERT OR IGNORE INTO others VALUES (?)", (number - _MIDDLE,))

    def note_deleted(self, number: int) -> None:
        """Note an id whose tweet was deleted."""
        self._db.execute("INSERT OR IGNORE INTO deleted VALUES (?)", (number - _MIDDLE,))

    def drop_outdated(self) -> None:
        """Of each edited tweet, keep only the newest of the versions that are kept."""
        self._db.execute(
            "INSERT OR IGNORE INTO others SELECT older FROM edits WHERE older IN (SELECT id FROM"
            " tweets) AND newer IN (SELECT id FROM tweets)"
        )
        self._db.execute(
            "DELETE FROM tweets WHERE id IN (SELECT older FROM edits WHERE newer IN (SELECT id FROM"
            " tweets))"
        )

    def _tweet(self, query: str, number: int) -> Tweet | None:
        found = self._db.execute(query, (number - _MIDDLE,)).fetchone()
        return None if found is None else Tweet.model_validate_json(found[0])


def _merged(one: bytes, other: bytes) -> bytes:
    """The line of all that two lines know of a tweet."""
    return to_jsonl(together(map(Tweet.model_validate_json, (one, other))))
