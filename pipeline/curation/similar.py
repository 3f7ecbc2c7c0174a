"""Recognises texts that repeat earlier ones: equal, nearly equal, or from the same template.

Each test takes the same short time however many texts came before: it looks up hashes, and compares
with at most three earlier texts. A text is compared with earlier ones only, so newer texts change
no decision.
"""

import re
from hashlib import blake2b
from itertools import pairwise

from pipeline.curation.text import SPACELESS

NEAR = 0.8
"""The share of equal words from which two texts are nearly equal: words of both, by all words."""

# A text with fewer words is only compared as a whole: one word is too much of it.
_WORDS = 8

_ASCII = re.compile(r"[a-z0-9_]+(?:'[a-z]+)?")
_SPACELESS = rf"{SPACELESS}\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"[{_SPACELESS}]+|[^\W{_SPACELESS}]+")
_FIRST_IS_SPACELESS = re.compile(rf"[{_SPACELESS}]").match
_NUMBERS = re.compile(r"\d+(?:[.,:/\u2013-]\d+)*")
_NAMED = re.compile(r"[@\uff20#\uff03]\w+")


def tokens(text: str) -> list[str]:
    """The words of a text in lower case; where a script has no spaces, each pair of characters."""
    if text.isascii():
        return _ASCII.findall(text.lower())
    words: list[str] = []
    for word in _TOKEN.findall(text.casefold()):
        if len(word) > 2 and _FIRST_IS_SPACELESS(word):
            words += map("".join, pairwise(word))
        else:
            words.append(word)
    return words


def skeleton(text: str) -> str:
    """What two texts have in common that differ in case, punctuation and pictures alone."""
    return " ".join(tokens(text)) or text


def opening(text: str, count: int) -> str:
    """The first words of a text, all numbers alike and without names; "" if it has fewer."""
    words = tokens(_NAMED.sub(" ", _NUMBERS.sub("0", text)))[:count]
    return " ".join(words) if len(words) == count else ""


def numbers(text: str) -> int:
    """How many numbers a text has; a time or a date is one."""
    return len(_NUMBERS.findall(text))


class Seen:
    """The texts so far. With `near`, a text repeats another also if it is only nearly equal."""

    def __init__(self, *, near: bool) -> None:
        self._near = near
        self._whole: set[int] = set()
        self._by_words: dict[str, str] = {}

    def repeats(self, text: str) -> bool:
        """Whether the text is nearly one of those before; if not, it is one of them from now on."""
        words = tokens(text)
        whole = digest(" ".join(words) or text)
        if whole in self._whole:
            return True
        self._whole.add(whole)
        different = set(words)
        if not self._near or len(different) < _WORDS:
            return False
        keys = _keys(different)
        for key in keys:
            other = self._by_words.get(key)
            if other is not None and _near(different, set(tokens(other))):
                return True
        for key in keys:
            self._by_words.setdefault(key, text)
        return False


def _keys(words: set[str]) -> list[str]:
    """Pairs of the three longest words, by which nearly equal texts are found: they are rare.

    Two texts that differ in a single word have one of these pairs in common.
    """
    *_, third, second, first = sorted(sorted(words), key=len)
    return [f"{first} {second}", f"{first} {third}", f"{second} {third}"]


def digest(text: str) -> int:
    """A hash of 64 bits that is the same on every machine."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def _near(words: set[str], others: set[str]) -> bool:
    """Whether two texts have most of their words in common."""
    return len(words & others) >= NEAR * len(words | others)
