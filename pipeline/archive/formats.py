"""Reads tweets from files that are not X's JavaScript: csv, JSON Lines and lines of text."""

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from typing import Any

from pydantic import ValidationError

from pipeline.archive.entries import Entry, Odd
from pipeline.archive.javascript import Damaged
from pipeline.tweets import Tweet

# X's ids have 63 bits. These have 64, so that they are never an id of X's.
FIRST_DERIVED = 10**19
_DERIVED = 8 * 10**18

_LONGEST_LINE = 1 << 20  # bytes
_CSV_COLUMNS = {"tweet_id", "timestamp", "text"}
_LINK = re.compile(r"https?://t\.co/\w+", re.ASCII)


def from_csv(blocks: Iterator[bytes]) -> Iterator[Entry]:
    """Yield the entries of `tweets.csv`, which archives from 2012 to 2015 had.

    Raises:
        Damaged: The file is no csv, or lacks a column.
    """
    rows = csv.DictReader(_decoded(_lines(blocks)), strict=True)
    try:
        if missing := _CSV_COLUMNS - {*(rows.fieldnames or ())}:
            raise Damaged(f"has no column {', '.join(sorted(missing))}")
        yield from map(_from_row, rows)
    except csv.Error:
        raise Damaged("is damaged") from None


def _from_row(row: dict[str, Any]) -> Entry:
    """The entry that X would write for a row."""
    text = row["text"] or ""
    places = [match.span() for match in _LINK.finditer(text)]
    addresses = [a for a in (row.get("expanded_urls") or "").split(",") if a]
    # The column does not say which address belongs to which link.
    known = zip(places, addresses, strict=True) if len(places) == len(addresses) else ()
    return {
        "id_str": row["tweet_id"],
        "text": row["text"],
        "created_at": row["timestamp"],
        "source": row.get("source"),
        "in_reply_to_status_id_str": row.get("in_reply_to_status_id"),
        "in_reply_to_user_id_str": row.get("in_reply_to_user_id"),
        "retweeted_status": row.get("retweeted_status_id"),
        "entities": {
            "urls": [{"indices": place, "expanded_url": address} for place, address in known]
        },
    }


def from_jsonl(blocks: Iterator[bytes]) -> Iterator[Any]:
    """Yield the value of each line that is not empty; Odd for one that is no JSON."""
    for line in _lines(blocks):
        if line.strip():
            try:
                yield json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError):
                yield Odd("no JSON")


def record(entry: Entry) -> Tweet | None:
    """The tweet of a line of a segment; None if the line is of another kind; Odd if it is odd."""
    if entry.get("source") not in ("timeline", "archive"):
        return None
    try:
        return Tweet.model_validate({"version": 1} | entry)
    except ValidationError as error:
        raise Odd(f"an odd {error.errors()[0]['loc'][0]}") from None


def from_text(blocks: Iterator[bytes], at: float) -> Iterator[Entry]:
    """Yield an entry for each line that is not empty.

    Its id is made of its text, so that the same line is the same tweet in any file. Its time is
    `at`, in seconds since 1970.
    """
    created_at = datetime.fromtimestamp(int(at), UTC).isoformat()
    for line in _decoded(_lines(blocks)):
        if text := line.strip():
            digest = hashlib.sha256(text.encode()).digest()
            yield {
                "id_str": str(FIRST_DERIVED + int.from_bytes(digest[:8]) % _DERIVED),
                "text": escape(text, quote=False),
                "created_at": created_at,
            }


def _decoded(lines: Iterator[bytes]) -> Iterator[str]:
    for line in lines:
        try:
            yield line.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Damaged("is not UTF-8") from None


def _lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file, each with its end."""
    pending = b""
    for block in blocks:
        lines = (pending + block).splitlines(keepends=True)
        pending = b""
        if lines and not lines[-1].endswith(b"\n"):
            pending = lines.pop()
        if len(pending) > _LONGEST_LINE:
            raise Damaged(f"has a line of over {_LONGEST_LINE >> 20} MiB")
        yield from lines
    if pending:
        yield pending
