"""Trained accounts write like their authors, and an untrained model does not."""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from demo.samples import grammar
from demo.samples.grammar import VOICES
from pipeline import layout, novelty
from pipeline.generation import Candidate
from pipeline.novelty import NoveltyIndex, words
from trainer_image.convert import convert, read_weights
from trainer_image.evaluate import copying, load, sample, valid

from .conftest import Trained

DRAWN = 50
NEEDED = 0.9
MORE_COPIES = 0.2


class Classifier:
    """Naive Bayes over words: tells which corpus a text most likely comes from."""

    def __init__(self, corpora: Mapping[str, list[str]]) -> None:
        self.counts = {
            name: Counter(word for text in texts for word in words(text))
            for name, texts in corpora.items()
        }
        self.known = {word for counts in self.counts.values() for word in counts}

    def classify(self, text: str) -> str:
        return max(self.counts, key=lambda name: self._score(text, self.counts[name]))

    def _score(self, text: str, counts: Counter[str]) -> float:
        total = counts.total() + len(self.known)
        return sum(math.log((counts[word] + 1) / total) for word in words(text))

    def accuracy(self, texts: list[str], name: str) -> float:
        return sum(self.classify(text) == name for text in texts) / len(texts)

    def known_words(self, texts: list[str]) -> float:
        found = [word for text in texts for word in words(text)]
        return sum(word in self.known for word in found) / max(1, len(found))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier({voice: grammar.tweets(voice) for voice in VOICES})


def folder_of(trained: Trained, account: str) -> Path:
    """The folder of the model that the app gets."""
    trained.world.remount()
    live = trained.world.live(account)
    assert live, trained.finished
    return trained.world.mount / layout.release(account, live) / "model"


def draw(folder: Path, count: int) -> list[Candidate]:
    return sample(load(folder, seed=1), count)


@pytest.fixture(scope="module")
def written(trained: Trained) -> dict[str, list[str]]:
    return {v: [s.text for s in draw(folder_of(trained, v), DRAWN)] for v in VOICES}


@pytest.fixture(scope="module")
def untrained(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Texts of the base model."""
    folder = tmp_path_factory.mktemp("untrained") / "model"
    convert(read_weights(base_model), base_model, folder, "int8")
    return [s.text for s in draw(folder, DRAWN)]


def test_both_accounts_are_live(trained: Trained) -> None:
    assert trained.finished.status == 0, trained.finished.errors
    for voice in VOICES:
        assert trained.finished[voice].outcome == "live"
        assert trained.world.live(voice) == trained.finished[voice].release


def test_the_classifier_tells_unseen_tweets_apart(classifier: Classifier) -> None:
    for voice in VOICES:
        assert classifier.accuracy(grammar.tweets(voice, 800)[600:], voice) >= 0.98


@pytest.mark.parametrize("voice", VOICES)
def test_an_account_writes_in_its_own_voice(
    voice: str, written: dict[str, list[str]], classifier: Classifier
) -> None:
    assert classifier.accuracy(written[voice], voice) >= NEEDED


@pytest.mark.parametrize("voice", VOICES)
def test_an_account_writes_words_of_the_corpora(
    voice: str, written: dict[str, list[str]], classifier: Classifier
) -> None:
    assert classifier.known_words(written[voice]) >= NEEDED


def test_an_untrained_model_writes_in_no_voice(
    untrained: list[str], classifier: Classifier
) -> None:
    assert any(classifier.accuracy(untrained, voice) < NEEDED for voice in VOICES)
    assert classifier.known_words(untrained) < NEEDED


@pytest.mark.parametrize("voice", VOICES)
def test_an_account_repeats_tweets_not_much_more_often_than_its_author(
    voice: str, trained: Trained
) -> None:
    folder = folder_of(trained, voice)
    training = NoveltyIndex.load(folder / novelty.FILE)
    samples = [s.text for s in draw(folder, 200)]
    author = copying(grammar.tweets(voice, 1200)[600:], training)
    assert author > 0.05
    assert copying(samples, training) <= author + MORE_COPIES


@pytest.mark.parametrize("voice", VOICES)
def test_what_is_written_could_be_posted(voice: str, trained: Trained) -> None:
    assert valid(draw(folder_of(trained, voice), 100)) >= NEEDED


@pytest.mark.parametrize("voice", VOICES)
def test_training_lowers_the_held_out_loss_clearly(voice: str, trained: Trained) -> None:
    (manifest,) = trained.world.releases(voice)
    losses = dict(manifest.loss.held_out_curve)
    assert manifest.loss.held_out_int8 < losses[0] / 2
    assert manifest.loss.held_out_float == min(loss for step, loss in losses.items() if step)
    assert manifest.step in losses
    assert abs(manifest.loss.held_out_int8 - manifest.loss.held_out_float) < 0.02
