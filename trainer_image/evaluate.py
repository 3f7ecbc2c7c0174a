"""A converted model as the app runs it: its loss on texts, and what it writes."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline import text
from pipeline.novelty import NoveltyIndex
from pipeline.tokens import END, Vocabulary

_CONTEXT = 1024
_LONGEST = 280  # tokens: what takes more does not fit a post
_TOP_K, _TEMPERATURE = 40, 0.8


@dataclass(frozen=True)
class Sample:
    """What a model wrote; not `ended` if it had to be stopped."""

    text: str
    ended: bool


class Model:
    """A CTranslate2 folder with its vocabulary, on all processors."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        ctranslate2: Any = import_module("ctranslate2")
        ctranslate2.set_random_seed(seed)  # acts on generators that are made after it
        self.vocabulary = Vocabulary(folder)
        self._generator = ctranslate2.Generator(
            str(folder), device="cpu", intra_threads=os.cpu_count() or 1
        )

    def nats(self, texts: Iterable[str]) -> float:
        """Minus the log of the probability of all these texts, each from end token to end token.

        Totals are comparable between vocabularies, losses a token are not.
        """
        scores = self._generator.score_batch(
            [self._spelt(text) for text in texts], max_batch_size=64
        )
        return -math.fsum(p for score in scores for p in score.log_probs)

    def tokens(self, texts: Iterable[str]) -> int:
        """How many tokens `nats` is the loss of."""
        return sum(len(self._spelt(text)) - 1 for text in texts)

    def sample(self, count: int) -> list[Sample]:
        """`count` texts as the app draws them, none of them filtered."""
        results = self._generator.generate_batch(
            [[END]] * count,
            max_length=_LONGEST,
            sampling_topk=_TOP_K,
            sampling_temperature=_TEMPERATURE,
            include_prompt_in_result=False,
            max_batch_size=50,
        )
        drawn: list[list[int]] = [result.sequences_ids[0] for result in results]
        return [Sample(self.vocabulary.decode(ids), len(ids) < _LONGEST) for ids in drawn]

    def _spelt(self, text: str) -> list[str]:
        ids = self.vocabulary.encode(text)[: _CONTEXT - 2]
        return [END, *map(self.vocabulary.token, ids), END]


def copying(texts: Sequence[str], training: NoveltyIndex) -> float:
    """The share of `texts` that hold 8 words in a row of a training tweet."""
    return sum(map(training.copies, texts)) / len(texts)


def valid(samples: Sequence[Sample]) -> float:
    """The share of samples that end by themselves, that X would take, each text counted once."""
    return len({s.text for s in samples if s.ended and text.valid(s.text)}) / len(samples)
