"""A converted model as the app runs it: its loss on texts, and what it writes."""

import math
import os
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline import text
from pipeline.novelty import NoveltyIndex
from pipeline.tokens import END, Vocabulary

_CONTEXT = 1024
_LONGEST = 280  # tokens, as in the app
_TOP_K, _TEMPERATURE = 40, 0.8
# A step costs the same for one text as for twenty, so that many at once are cheap; each that is
# still being written holds 74 kB a token at 124M.
_AT_ONCE = 100
_LOOK_EVERY = 8  # tokens


@dataclass(frozen=True)
class Sample:
    """What a model wrote; not `ended` if it had to be stopped."""

    text: str
    ended: bool


class Model:
    """A CTranslate2 folder with its vocabulary, on all processors but one.

    That one hands the GPU its work: another account trains meanwhile.
    """

    def __init__(self, folder: Path, seed: int = 1) -> None:
        ctranslate2: Any = import_module("ctranslate2")
        ctranslate2.set_random_seed(seed)  # acts on generators that are made after it
        self.vocabulary = Vocabulary(folder)
        self._generator = ctranslate2.Generator(
            str(folder), device="cpu", intra_threads=max(1, (os.cpu_count() or 1) - 1)
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
        """`count` texts as the app draws them, none of them filtered.

        What no ending can make a post any more is stopped there, which `valid` and `copying` do
        not see.
        """
        drawn: list[list[int]] = []
        for start in range(0, count, _AT_ONCE):
            results = self._generator.generate_batch(
                [[END]] * min(_AT_ONCE, count - start),
                max_length=_LONGEST,
                sampling_topk=_TOP_K,
                sampling_temperature=_TEMPERATURE,
                include_prompt_in_result=False,
                return_end_token=True,
                callback=Overlong(self.vocabulary),
            )
            drawn += [result.sequences_ids[0] for result in results]
        end = self.vocabulary.end
        return [Sample(self.vocabulary.decode(ids), ids[-1:] == [end]) for ids in drawn]

    def _spelt(self, text: str) -> list[str]:
        return [self.vocabulary.token(token) for token in between_ends(self.vocabulary, text)]


class Overlong:
    """Tells CTranslate2, which calls it with each token, which texts of a batch to stop."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._drawn: defaultdict[int, list[int]] = defaultdict(list)

    def __call__(self, step: Any) -> bool:
        """Whether the text that `step` adds a token to is to be stopped."""
        drawn = self._drawn[step.batch_id]
        drawn.append(step.token_id)
        return len(drawn) % _LOOK_EVERY == 0 and overlong(self._vocabulary.decode(drawn))


def between_ends(vocabulary: Vocabulary, text: str) -> list[int]:
    """The ids of `text` as far as the context holds it, with an end token on either side."""
    return [vocabulary.end, *vocabulary.encode(text)[: _CONTEXT - 2], vocabulary.end]


def overlong(beginning: str) -> bool:
    """Whether a text with this beginning weighs too much for a post, however it goes on.

    What follows can make the last word part of a link, or of an emoji, and so lighter; it changes
    nothing before that.
    """
    settled = beginning.rsplit(maxsplit=1)[:-1]
    # Nothing weighs more than two a character, and weighing takes a millisecond.
    return any(
        len(part) > text.LIMIT / 2 and text.weighted_length(part) > text.LIMIT for part in settled
    )


def fitting(whole: str) -> str:
    """The words at the beginning of `whole` that fit a post together; all of them if all do.

    A text that was stopped as `overlong` has the same as it would have had without.
    """
    if text.weighted_length(whole) <= text.LIMIT:
        return whole
    ends = [0, *(word.end() for word in re.finditer(r"\S+", whole))]
    too_many = bisect_right(ends, text.LIMIT, key=lambda end: text.weighted_length(whole[:end]))
    return whole[: ends[too_many - 1]]


def copying(texts: Sequence[str], training: NoveltyIndex) -> float:
    """The share of `texts` that hold 8 words in a row of a training tweet where a post has them."""
    return sum(training.copies(fitting(text)) for text in texts) / len(texts)


def valid(samples: Sequence[Sample]) -> float:
    """The share of samples that end by themselves, that X would take, each text counted once."""
    return len({s.text for s in samples if s.ended and text.valid(s.text)}) / len(samples)
