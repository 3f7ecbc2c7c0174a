"""Which texts may not be posted, and why."""

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Self

from pipeline import history
from pipeline import text as rules
from pipeline.novelty import FILE, NoveltyIndex, words

UNSAFE_WORDS = Path(__file__).with_name("unsafe-words.sha256")


class Objections:
    """Checks texts against X's rules, the corpus, the account's earlier posts and unsafe words."""

    def __init__(self, corpus: NoveltyIndex, unsafe: frozenset[str]) -> None:
        """Set up the checks with the index of training tweets and the digests of unsafe words."""
        self._corpus = corpus
        self._unsafe = unsafe

    @classmethod
    def load(cls, model: Path) -> Self:
        """Load the checks of a release's texts from its `model/` folder; raises UserError."""
        return cls(NoveltyIndex.load(model / FILE), unsafe_words())

    def first(self, text: str, posted: Collection[str]) -> str | None:
        """The first objection to `text`, in a word or two; None if it may be posted.

        `posted` holds the digests of the account's earlier posts, as `pipeline.history` gives them.
        """
        if not words(text):
            return "empty"
        if rules.weighted_length(text) > rules.LIMIT:
            return "too long"
        if "\ufffd" in text or not rules.valid(text):
            return "garbled"
        if rules.has_link(text):
            return "link"
        if rules.has_mention(text):
            return "mention"
        if self._corpus.copies(text):
            return "copy of the corpus"
        if history.digest(text) in posted:
            return "posted before"
        if any(hashlib.sha256(word.encode()).hexdigest() in self._unsafe for word in words(text)):
            return "unsafe"
        return None


def unsafe_words(file: Path = UNSAFE_WORDS) -> frozenset[str]:
    """The SHA-256 digests of the words that are never posted; the file says how to add one."""
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return frozenset(line for line in lines if line)
