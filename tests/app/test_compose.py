"""Which text is posted, and which never is."""

from collections.abc import Iterator
from hashlib import sha256

import pytest

from app.compose import Composer, NothingFit
from pipeline import history
from pipeline.generation import Candidate
from pipeline.novelty import NoveltyIndex
from pipeline.objections import Objections

CORPUS = "The lamp was lit at dusk and burned until the morning came"
OBJECTIONS = Objections(NoveltyIndex.build([CORPUS]), frozenset([sha256(b"beastly").hexdigest()]))


def candidate(text: str, likelihood: float = -2.0, *, ended: bool = True) -> Candidate:
    return Candidate(text, ended, likelihood)


class Batches:
    """Returns these batches one by one, and counts them."""

    def __init__(self, *batches: list[Candidate]) -> None:
        self._batches: Iterator[list[Candidate]] = iter(batches)
        self.given = 0

    def __call__(self) -> list[Candidate]:
        self.given += 1
        return next(self._batches)


def test_the_most_typical_of_the_usable_texts_is_taken() -> None:
    batch = [
        candidate("the blandest of all", -0.5),
        candidate("an ordinary one", -2.1),
        candidate("at the median, but see example.com", -2.0),
        candidate("a strange one", -3.0),
        candidate("the strangest of all", -6.0),
    ]
    assert Composer(lambda: batch, OBJECTIONS).compose([]) == "an ordinary one"


def test_a_text_of_the_history_is_not_chosen_again() -> None:
    batch = [candidate("Fog again!"), candidate("Gale at night", -9.0), candidate("Fog AGAIN")]
    posted = [history.digest("fog again")]
    assert Composer(lambda: batch, OBJECTIONS).compose(posted) == "Gale at night"


def test_a_second_batch_is_drawn_if_the_first_has_nothing_usable() -> None:
    batches = Batches([candidate("see example.com")], [candidate("Gale at night")])
    assert Composer(batches, OBJECTIONS).compose([]) == "Gale at night"
    assert batches.given == 2


def test_after_three_batches_without_a_usable_text_the_reasons_are_counted() -> None:
    bad = [candidate("see example.com"), candidate("cut off in the", ended=False)]
    batches = Batches(bad, bad, [candidate("@you there"), candidate("example.com")])
    with pytest.raises(NothingFit, match=r"none of 6 .*: link 3, unfinished 2, mention 1"):
        Composer(batches, OBJECTIONS).compose([])
    assert batches.given == 3


def test_the_text_has_no_white_space_at_its_ends() -> None:
    assert (
        Composer(lambda: [candidate(" Gale at night\n")], OBJECTIONS).compose([]) == "Gale at night"
    )
