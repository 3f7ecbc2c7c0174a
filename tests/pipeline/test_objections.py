"""Which texts may never be posted."""

import subprocess
from hashlib import sha256

import pytest

from pipeline import history
from pipeline.novelty import NoveltyIndex
from pipeline.objections import UNSAFE_WORDS, Objections, unsafe_words

CORPUS = "The lamp was lit at dusk and burned until the morning came"
OBJECTIONS = Objections(NoveltyIndex.build([CORPUS]), frozenset([sha256(b"beastly").hexdigest()]))


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
    assert OBJECTIONS.first(text, {history.digest("fog  AGAIN...")}) == objection


def test_the_list_of_unsafe_words_shows_none_of_them() -> None:
    words = unsafe_words()
    assert len(words) > 20
    assert all(len(word) == 64 and int(word, 16) for word in words)


def test_the_command_in_the_list_of_unsafe_words_adds_one() -> None:
    (command,) = (
        line.removeprefix("#").partition(">>")[0].strip()
        for line in UNSAFE_WORDS.read_text().splitlines()
        if "sha256sum" in line
    )
    done = subprocess.run(
        command, shell=True, env={"word": "beastly", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == sha256(b"beastly").hexdigest()
