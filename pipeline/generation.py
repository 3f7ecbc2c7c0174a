"""Draws texts from a release's model and scores texts with it, using CTranslate2."""

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2  # pyright: ignore[reportMissingTypeStubs]

from pipeline.errors import UserError
from pipeline.tokens import Vocabulary

MAX_TOKENS = 280
"""The most tokens of a text: a post has at most 280 characters, and few tokens are shorter."""

# Texts scored at once; more would cost memory and gain no time.
_SCORED_AT_ONCE = 64


@dataclass(frozen=True)
class Sampling:
    """How texts are drawn. The defaults are those of posts.

    Attributes:
        prefix: The beginning of every text.
        length: The most tokens after the prefix. Prefix and text together have at most MAX_TOKENS.
        temperature: 1 draws by the model's own probabilities; lower values favour likely tokens.
        top_k: Draws from this many of the likeliest tokens; 0 draws from all.
        top_p: Draws from the likeliest tokens that together have this probability; 1 is all.
        texts: The number of texts in a batch.
    """

    prefix: str = ""
    length: int = MAX_TOKENS
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 1.0
    texts: int = 32


POSTS = Sampling()
"""How the texts of posts are drawn."""


@dataclass(frozen=True)
class Candidate:
    """A text that the model wrote, white space at its ends included."""

    text: str
    ended: bool
    """Whether the model ended the text; otherwise the text was cut."""
    likelihood: float
    """The mean log-probability of the drawn tokens in nats, the end token included."""


class Model:
    """A release's `model/` folder, loaded: CTranslate2's files and the vocabulary."""

    def __init__(
        self, folder: Path, *, threads: int | None = None, seed: int | None = None
    ) -> None:
        """Load the model.

        Args:
            folder: CTranslate2's files, `encoder.json` and `vocab.bpe`.
            threads: The processors to compute on; None uses all.
            seed: Makes draws repeatable; None draws differently in each process.

        Raises:
            UserError: The folder holds no model that can be loaded.
        """
        self.vocabulary = Vocabulary(folder)
        if seed is not None:
            # It applies only to generators that are made after it.
            ctranslate2.set_random_seed(seed)  # pyright: ignore[reportUnknownMemberType]
        try:
            self._generator: Any = ctranslate2.Generator(  # pyright: ignore[reportUnknownMemberType]
                str(folder), device="cpu", intra_threads=threads or os.cpu_count() or 1
            )
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"{folder} holds no model that can be loaded ({' '.join(str(error).split())});"
                " build the release again"
            ) from error

    def tokens(self, text: str) -> int:
        """The number of tokens of `text`."""
        return len(self.vocabulary.encode(text))

    def candidates(
        self, sampling: Sampling = POSTS, *, stop: Callable[[Any], bool] | None = None
    ) -> list[Candidate]:
        """Draw a batch of texts; the prefix must have fewer than MAX_TOKENS tokens.

        Args:
            sampling: How they are drawn.
            stop: CTranslate2 calls this with each drawn token; True cuts the text there.
        """
        prefix = self.vocabulary.encode(sampling.prefix)
        prompt = [self.vocabulary.token(token) for token in (self.vocabulary.end, *prefix)]
        results = self._generator.generate_batch(
            [prompt] * sampling.texts,
            max_length=min(sampling.length, MAX_TOKENS - len(prefix)),
            sampling_topk=sampling.top_k if sampling.top_k < self.vocabulary.size else 0,
            sampling_topp=sampling.top_p,
            sampling_temperature=sampling.temperature,
            include_prompt_in_result=False,
            return_end_token=True,
            return_scores=True,
            callback=stop,
        )
        return [
            self._candidate(sampling.prefix, result.sequences_ids[0], result.scores[0])
            for result in results
        ]

    def _candidate(self, prefix: str, ids: list[int], score: float) -> Candidate:
        return Candidate(
            text=prefix + self.vocabulary.decode(ids),
            ended=ids[-1:] == [self.vocabulary.end],
            likelihood=score,
        )

    def nats(self, texts: Iterable[str]) -> float:
        """The total loss on `texts` in nats, each text from end token to end token.

        Totals can be compared between vocabularies; losses a token cannot.
        """
        scores = self._generator.score_batch(
            [self._spelt(text) for text in texts], max_batch_size=_SCORED_AT_ONCE
        )
        return -math.fsum(p for score in scores for p in score.log_probs)

    def scored_tokens(self, texts: Iterable[str]) -> int:
        """The number of tokens that `nats` sums over: all but the first end token of each text."""
        return sum(len(self.vocabulary.between_ends(text)) - 1 for text in texts)

    def _spelt(self, text: str) -> list[str]:
        return [self.vocabulary.token(token) for token in self.vocabulary.between_ends(text)]
