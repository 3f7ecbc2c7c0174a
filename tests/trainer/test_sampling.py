"""Stopping texts that are too long for a post changes nothing that the gate measures."""

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline import text
from pipeline.generation import Candidate
from pipeline.novelty import NoveltyIndex
from pipeline.tokens import END, Vocabulary
from trainer_image.convert import convert, read_weights
from trainer_image.evaluate import Overlong, copying, fitting, load, overlong, sample, valid

DRAWN = 100


@pytest.fixture(scope="module")
def rambling(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that ends less than half of its texts, since its end token is unlikely."""
    folder = tmp_path_factory.mktemp("rambling") / "model"
    weights = read_weights(base_model)
    weights["model/wte"][-1] *= 0.5
    convert(weights, base_model, folder, "int8")
    return folder


@dataclass
class Step:
    """CTranslate2's report of a token."""

    batch_id: int
    token_id: int


@pytest.fixture(scope="module")
def drawn(rambling: Path) -> list[list[int]]:
    """The ids of whole texts: each ended, or was cut after 280 tokens."""
    ctranslate2: Any = import_module("ctranslate2")
    results = ctranslate2.Generator(str(rambling)).generate_batch(
        [[END]] * DRAWN,
        max_length=280,
        sampling_topk=40,
        sampling_temperature=0.8,
        include_prompt_in_result=False,
        return_end_token=True,
    )
    return [result.sequences_ids[0] for result in results]


def test_stopping_early_changes_no_share(rambling: Path, drawn: list[list[int]]) -> None:
    vocabulary = Vocabulary(rambling)
    stop = Overlong(vocabulary)

    def until_stopped(number: int) -> list[int]:
        for taken, token in enumerate(drawn[number], start=1):
            if stop(Step(number, token)):
                return drawn[number][:taken]
        return drawn[number]

    def samples(texts: list[list[int]]) -> list[Candidate]:
        return [
            Candidate(vocabulary.decode(ids), ids[-1] == vocabulary.end, likelihood=-1.0)
            for ids in texts
        ]

    whole = samples(drawn)
    stopped = samples([until_stopped(number) for number in range(DRAWN)])
    assert sum(len(s.text) < len(w.text) for s, w in zip(stopped, whole, strict=True)) > DRAWN / 3
    # Half of the training tweets repeat the start of texts, half their end beyond a post's length.
    words = [candidate.text.split() for candidate in whole]
    training = NoveltyIndex.build(
        [" ".join(w[2:12]) for w in words[::3]] + [" ".join(w[-10:]) for w in words[1::3]]
    )
    texts, shorter = ([one.text for one in drawn] for drawn in (whole, stopped))
    assert valid(stopped) == valid(whole) > 0.1
    assert copying(shorter, training) == copying(texts, training) > 0.3
    # If texts were not cut to a post's length, the shares would differ.
    assert sum(map(training.copies, texts)) > sum(map(training.copies, shorter))


def test_only_texts_that_cannot_become_posts_are_stopped(rambling: Path) -> None:
    samples = sample(load(rambling, seed=1), DRAWN)
    stopped = [drawn.text for drawn in samples if not drawn.ended]
    assert len(samples) == DRAWN
    assert DRAWN / 3 < len(stopped) < DRAWN
    assert all(map(overlong, stopped))
    assert max(len(Vocabulary(rambling).encode(text)) for text in stopped) < 140


LINKS = ["http://", "https://x.com/", "example", ".com", "/path?q=", "x" * 40]
EMOJI = ["👩", "\u200d", "👩\u200d👩\u200d👧", "🇩", "🇪", "é", "\u0301", "\u0958"]
WORDS = ["word ", "a", " ", "\n", "@name ", "#tag ", "日本", "ひ "]
TEXTS = st.lists(st.sampled_from([*LINKS, *EMOJI, *WORDS]), max_size=8).map("".join)
BEGINNINGS = st.tuples(st.integers(100, 140), TEXTS).map(lambda drawn: "x " * drawn[0] + drawn[1])


@settings(max_examples=150, deadline=None)
@example(beginning="x " * 125 + "x" * 40, more=".com")  # a link weighs 23
@given(beginning=BEGINNINGS, more=TEXTS)
def test_an_overlong_text_stays_overlong_whatever_follows(beginning: str, more: str) -> None:
    whole = beginning + more
    if overlong(beginning):
        assert not text.valid(whole)
        assert fitting(whole) == fitting(beginning)


@pytest.mark.parametrize(
    "beginning", ["http://example.com/" + "x" * 400, "x" * 400, "日" * 280, "word " * 56]
)
def test_a_text_that_may_still_become_a_post_is_not_overlong(beginning: str) -> None:
    assert not overlong(beginning)


@pytest.mark.parametrize("word", ["word ", "日本 ", "http://example.com/a/long/path "])
def test_fitting_keeps_as_many_words_as_a_post_can_have(word: str) -> None:
    long = word * 100
    fits = fitting(long)
    assert long.startswith(fits)
    assert text.weighted_length(fits) <= text.LIMIT
    following = re.match(r"\s*\S+", long[len(fits) :])
    assert following
    assert text.weighted_length(fits + following[0]) > text.LIMIT
    assert fitting(fits) == fits
