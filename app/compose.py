"""Chooses the text of a post from the texts that the model writes."""

from collections import Counter
from collections.abc import Callable, Collection
from statistics import median

from pipeline.generation import Candidate
from pipeline.objections import Objections

_MOST_BATCHES = 3


class NothingFit(Exception):
    """No candidate may be posted; the message counts the reasons."""


class Composer:
    """Draws texts until some may be posted, and takes the most typical of these.

    The most typical text has the likelihood nearest to its batch's median. The likeliest text of a
    batch is the blandest and the most like the corpus, and the unlikeliest is the least coherent;
    people write in between (Meister et al., "Locally Typical Sampling", 2023).
    """

    def __init__(
        self,
        candidates: Callable[[], list[Candidate]],
        objections: Objections,
        *,
        unfinished: bool = False,
    ) -> None:
        """Set up the choice.

        Args:
            candidates: Draws a batch of texts.
            objections: Checks each text.
            unfinished: Whether a text that was cut off may be chosen.
        """
        self._candidates = candidates
        self._objections = objections
        self._unfinished = unfinished

    def compose(self, posted: Collection[str]) -> str:
        """Return a text that was not posted before; raises NothingFit after _MOST_BATCHES.

        `posted` holds the digests of earlier texts, as `pipeline.history` gives them.
        """
        reasons: Counter[str] = Counter()
        for _ in range(_MOST_BATCHES):
            batch = self._candidates()
            middle = median(candidate.likelihood for candidate in batch)
            fit: list[Candidate] = []
            for candidate in batch:
                objection = self._objection(candidate, posted)
                if objection is None:
                    fit.append(candidate)
                else:
                    reasons[objection] += 1
            if fit:
                typical = min(fit, key=lambda candidate: abs(candidate.likelihood - middle))
                return typical.text.strip()
        counts = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        raise NothingFit(f"none of {reasons.total()} texts may be posted: {counts}")

    def _objection(self, candidate: Candidate, posted: Collection[str]) -> str | None:
        if not candidate.ended and not self._unfinished:
            return "unfinished"
        return self._objections.first(candidate.text.strip(), posted)
