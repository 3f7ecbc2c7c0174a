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
_MAX_TOKENS = 280


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

    def candidates(self) -> list[Candidate]:
        """BATCH new texts, sampled at temperature 0.8 from the 40 likeliest tokens each."""
        results = self._generator.generate_batch(
            [[self._vocabulary.token(self._vocabulary.end)]] * BATCH,
            max_length=_MAX_TOKENS,
            sampling_topk=40,
            sampling_temperature=0.8,
            include_prompt_in_result=False,
            return_end_token=True,
            return_scores=True,
        )
        return [self._candidate(result.sequences_ids[0], result.scores[0]) for result in results]

    def _candidate(self, ids: list[int], score: float) -> Candidate:
        return Candidate(
            text=self._vocabulary.decode(ids).strip(),
            ended=ids[-1:] == [self._vocabulary.end],
            likelihood=score,
        )
