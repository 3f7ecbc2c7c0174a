"""Finds copies of training tweets by hashes, so a release needs to contain no tweet."""

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

from pipeline.errors import UserError

FILE = "shingles.bin"
"""The name of the index in the folder of a release's model."""
WORDS = 8
"""The number of words in a row that count as a copy."""


def words(text: str) -> list[str]:
    """The words of `text` in lower case, without punctuation; "The north-west, it's" has three."""
    return re.findall(r"\w+(?:['-]\w+)*", text.casefold().replace("\u2019", "'"))


def _shingles(text: str) -> Iterator[int]:
    """64-bit hashes of every WORDS words in a row, or of the whole text if it has fewer."""
    parts = words(text) or [text.strip()]  # a tweet of emoji alone has no words
    for start in range(max(1, len(parts) - WORDS + 1)):
        shingle = " ".join(parts[start : start + WORDS])
        yield int.from_bytes(blake2b(shingle.encode(), digest_size=8).digest(), "little")


class NoveltyIndex:
    """The sorted hashes of all training tweets, in a file as little-endian 64-bit integers."""

    def __init__(self, hashes: "array[int]") -> None:
        self._hashes = hashes

    @classmethod
    def build(cls, texts: Iterable[str]) -> "NoveltyIndex":
        """Build the index of these training tweets."""
        return cls(array("Q", sorted({h for text in texts for h in _shingles(text)})))

    @classmethod
    def load(cls, path: Path) -> "NoveltyIndex":
        """Load an index; raises UserError if `path` is not one."""
        try:
            return cls(array("Q", path.read_bytes()))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is not an index of training tweets: {error}") from error

    def save(self, path: Path) -> None:
        """Write the index to `path`."""
        path.write_bytes(self._hashes.tobytes())

    def copies(self, text: str) -> bool:
        """Whether `text` has WORDS words in a row of a training tweet, or equals a short one."""
        return any(self._has(h) for h in _shingles(text))

    def _has(self, shingle: int) -> bool:
        at = bisect_left(self._hashes, shingle)
        return at < len(self._hashes) and self._hashes[at] == shingle
