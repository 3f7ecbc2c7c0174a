"""Which text is posted, and which never is."""

from collections.abc import Iterator
from hashlib import sha256

import pytest

from app.compose import Composer, NothingFit
from app.filters import Filters, normalised, unsafe_words
from app.generate import BATCH, Candidate, Model
from pipeline.novelty import NoveltyIndex

CORPUS = "The lamp was lit at dusk and burned until the morning came"
FILTERS = Filters(NoveltyIndex.build([CORPUS]), frozenset([sha256(b"beastly").hexdigest()]))


def candidate(text: str, likelihood: float = -2.0, *, ended: bool = True) -> Candidate:
    return Candidate(text, ended, likelihood)


class Batches:
    """Gives these batches one by one, and counts them."""

    def __init__(self, *batches: list[Candidate]) -> None:
        self._batches: Iterator[list[Candidate]] = iter(batches)
        self.given = 0

    def __call__(self) -> list[Candidate]:
        self.given += 1
        return next(self._batches)


@pytest.mark.parametrize(
    ("text", "objection"),
    [
        ("", "empty"),
        (" ... ", "empty"),
        ("fog " * 71, "too long"),
        ("灯" * 141, "too long"),
        ("The lamp \ufffd burns", "garbled"),
        ("Read about it on example.com", "link"),
        ("Good morning @harbour_radio", "mention"),
        ("Truly, the lamp was lit at dusk and burned all day", "copy of the corpus"),
        ("Fog again!", "posted before"),
        ("What beastly weather", "unsafe"),
        ("What BEASTLY, weather", "unsafe"),
        ("fog " * 69, None),
        ("灯" * 140, None),
        ("Fog, once more. Nobody saw the boat.", None),
    ],
)
def test_only_texts_without_an_objection_may_be_posted(text: str, objection: str | None) -> None:
    assert FILTERS.objection(text, {normalised("fog  AGAIN...")}) == objection


def test_the_list_of_unsafe_words_shows_none_of_them() -> None:
    words = unsafe_words()
    assert len(words) > 20
    assert all(len(word) == 64 and int(word, 16) for word in words)


def test_of_the_fit_texts_the_most_typical_is_taken() -> None:
    batch = [
        candidate("the blandest of all", -0.5),
        candidate("an ordinary one", -2.1),
        candidate("at the median, but see example.com", -2.0),
        candidate("a strange one", -3.0),
        candidate("the strangest of all", -6.0),
    ]
    assert Composer(lambda: batch, FILTERS).compose([]) == "an ordinary one"


def test_a_text_that_was_ever_meant_is_not_chosen_again() -> None:
    batch = [candidate("Fog again!"), candidate("Gale at night", -9.0), candidate("Fog AGAIN")]
    assert Composer(lambda: batch, FILTERS).compose(["fog again"]) == "Gale at night"


def test_a_second_batch_is_written_where_the_first_has_nothing_fit() -> None:
    batches = Batches([candidate("see example.com")], [candidate("Gale at night")])
    assert Composer(batches, FILTERS).compose([]) == "Gale at night"
    assert batches.given == 2


def test_after_three_batches_without_a_fit_text_the_reasons_are_counted() -> None:
    bad = [candidate("see example.com"), candidate("cut off in the", ended=False)]
    batches = Batches(bad, bad, [candidate("@you there"), candidate("example.com")])
    with pytest.raises(NothingFit, match=r"none of 6 .*: link 3, unfinished 2, mention 1"):
        Composer(batches, FILTERS).compose([])
    assert batches.given == 3


def test_a_model_writes_a_batch_of_texts_with_their_likelihoods(model_folder) -> None:
    model = Model(model_folder)
    batch = model.candidates()
    assert len(batch) == BATCH
    assert all(candidate.likelihood < 0 for candidate in batch)
    assert any(candidate.ended for candidate in batch)
    assert not any("<|endoftext|>" in candidate.text for candidate in batch)
    assert {c.text for c in model.candidates()} != {c.text for c in batch}
