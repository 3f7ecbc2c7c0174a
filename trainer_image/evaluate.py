"""Measures a model's texts for the gate: how many could be posted, and how many are copies."""

import os
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import text
from pipeline.generation import Candidate, Model, Sampling
from pipeline.novelty import NoveltyIndex
from pipeline.tokens import Vocabulary

# A step costs about the same for one text as for twenty, so a large batch is cheap. Each text that
# is still being written holds 74 kB a token at 124M.
_AT_ONCE = 100
_CHECK_EVERY = 8  # tokens


def load(folder: Path, seed: int | None = None) -> Model:
    """Load a model on all processors but one, which feeds the GPU: another account trains there."""
    return Model(folder, threads=max(1, (os.cpu_count() or 1) - 1), seed=seed)


def sample(model: Model, count: int) -> list[Candidate]:
    """Draw `count` texts as the app does, without the app's objections.

    A text that has become too long for a post is stopped. `valid` and `copying` do not depend on
    the rest of it.
    """
    drawn: list[Candidate] = []
    for start in range(0, count, _AT_ONCE):
        sampling = Sampling(texts=min(_AT_ONCE, count - start))
        drawn += model.candidates(sampling, stop=Overlong(model.vocabulary))
    return drawn


class Overlong:
    """Tells CTranslate2 which texts of a batch to stop. CTranslate2 calls it with each token."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._drawn: defaultdict[int, list[int]] = defaultdict(list)

    def __call__(self, step: Any) -> bool:
        """Whether to stop the text that `step` adds a token to."""
        drawn = self._drawn[step.batch_id]
        drawn.append(step.token_id)
        return len(drawn) % _CHECK_EVERY == 0 and overlong(self._vocabulary.decode(drawn))


def overlong(beginning: str) -> bool:
    """Whether every text with this beginning weighs too much for a post.

    The rest of the text can turn its last word into a part of a link or an emoji, which weighs
    less. It changes nothing before the last word.
    """
    settled = beginning.rsplit(maxsplit=1)[:-1]
    # No character weighs more than two, and weighing takes a millisecond.
    return any(
        len(part) > text.LIMIT / 2 and text.weighted_length(part) > text.LIMIT for part in settled
    )


def fitting(whole: str) -> str:
    """The longest beginning of `whole`, in whole words, that fits into a post.

    The result is the same for a text that was stopped as `overlong` as for the whole text.
    """
    if text.weighted_length(whole) <= text.LIMIT:
        return whole
    ends = [0, *(word.end() for word in re.finditer(r"\S+", whole))]
    too_many = bisect_right(ends, text.LIMIT, key=lambda end: text.weighted_length(whole[:end]))
    return whole[: ends[too_many - 1]]


def copying(texts: Sequence[str], training: NoveltyIndex) -> float:
    """The share of `texts` that repeat 8 words in a row of a training tweet within a post's length.

    A short training tweet counts when a text equals it.
    """
    return sum(training.copies(fitting(text)) for text in texts) / len(texts)


def valid(samples: Sequence[Candidate]) -> float:
    """The share of samples that the model ended and X would accept; equal texts count once."""
    return len({s.text for s in samples if s.ended and text.valid(s.text)}) / len(samples)
