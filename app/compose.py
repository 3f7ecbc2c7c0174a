"""Chooses the one text to post out of what the model writes."""

from collections import Counter
from collections.abc import Callable, Collection
from statistics import median

from app.filters import Filters, normalised
from app.generate import Candidate

_BATCHES = 3


class NothingFit(Exception):
    """No candidate may be posted; the text counts the reasons."""


class Composer:
    """Writes texts until some may be posted, then takes the most typical of them.

    Most typical: of a likelihood nearest to its batch's median. The likeliest text of a batch is
    the blandest and the most like the corpus, the unlikeliest the least coherent; what people
    write lies in between (Meister et al., "Locally Typical Sampling", 2023).
    """

    def __init__(
        self,
        candidates: Callable[[], list[Candidate]],
        filters: Filters,
        *,
        unfinished: bool = False,
    ) -> None:
        """Take what gives a batch of candidates, what sorts them out, and whether cut ones do."""
        self._candidates = candidates
        self._filters = filters
        self._unfinished = unfinished

    def compose(self, history: Collection[str]) -> str:
        """A text unlike all of `history`; raises NothingFit after three batches without one."""
        posted = {normalised(text) for text in history}
        reasons: Counter[str] = Counter()
        for _ in range(_BATCHES):
            batch = self._candidates()
            centre = median(candidate.likelihood for candidate in batch)
            fit: list[Candidate] = []
            for candidate in batch:
                objection = self._objection(candidate, posted)
                if objection is None:
                    fit.append(candidate)
                else:
                    reasons[objection] += 1
            if fit:
                return min(fit, key=lambda candidate: abs(candidate.likelihood - centre)).text
        counts = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        raise NothingFit(f"none of {reasons.total()} texts may be posted: {counts}")

    def _objection(self, candidate: Candidate, posted: Collection[str]) -> str | None:
        if not candidate.ended and not self._unfinished:
            return "unfinished"
        return self._filters.objection(candidate.text, posted)
