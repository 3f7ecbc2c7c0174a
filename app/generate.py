"""Texts out of the live model, by CTranslate2."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2  # pyright: ignore[reportMissingTypeStubs]

from pipeline.errors import UserError
from pipeline.tokens import Vocabulary

BATCH = 32
# A tweet has at most 280 characters, and hardly a token has less than one.
MAX_TOKENS = 280


@dataclass(frozen=True)
class Sampling:
    """How texts are drawn; the defaults are those of posts.

    Attributes:
        prefix: What every text begins with.
        length: The most tokens that follow it; prefix and text together take MAX_TOKENS at most.
        temperature: 1 draws as the model believes, less keeps closer to the likeliest.
        top_k: Drawn from that many likeliest tokens; 0 is all.
        top_p: Drawn from the likeliest tokens that have this probability together; 1 is all.
        texts: How many are drawn at once.
    """

    prefix: str = ""
    length: int = MAX_TOKENS
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 1.0
    texts: int = BATCH


_AS_POSTS = Sampling()


@dataclass(frozen=True)
class Candidate:
    """One text of the model's."""

    text: str
    ended: bool
    """Whether the model ended it by itself; otherwise it was cut."""
    likelihood: float
    """Mean log-probability of its tokens, the end token's included, in nats."""


class Model:
    """A release's model: CTranslate2's files and the vocabulary, in one folder."""

    def __init__(self, folder: Path) -> None:
        """Raise UserError where `folder` holds no model that can be loaded."""
        self._vocabulary = Vocabulary(folder)
        try:
            self._generator: Any = ctranslate2.Generator(  # pyright: ignore[reportUnknownMemberType]
                str(folder), device="cpu", compute_type="int8", intra_threads=os.cpu_count() or 1
            )
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"{folder} holds no model that can be loaded ({' '.join(str(error).split())});"
                " build the release again"
            ) from error

    def tokens(self, text: str) -> int:
        """How many tokens `text` takes."""
        return len(self._vocabulary.encode(text))

    def candidates(self, how: Sampling = _AS_POSTS) -> list[Candidate]:
        """A batch of new texts; the tokens of the prefix must leave some of MAX_TOKENS."""
        prefix = self._vocabulary.encode(how.prefix)
        prompt = [self._vocabulary.token(token) for token in (self._vocabulary.end, *prefix)]
        results = self._generator.generate_batch(
            [prompt] * how.texts,
            max_length=min(how.length, MAX_TOKENS - len(prefix)),
            sampling_topk=how.top_k if how.top_k < self._vocabulary.size else 0,
            sampling_topp=how.top_p,
            sampling_temperature=how.temperature,
            include_prompt_in_result=False,
            return_end_token=True,
            return_scores=True,
        )
        return [
            self._candidate(how.prefix, result.sequences_ids[0], result.scores[0])
            for result in results
        ]

    def _candidate(self, prefix: str, ids: list[int], score: float) -> Candidate:
        return Candidate(
            text=(prefix + self._vocabulary.decode(ids)).strip(),
            ended=ids[-1:] == [self._vocabulary.end],
            likelihood=score,
        )
