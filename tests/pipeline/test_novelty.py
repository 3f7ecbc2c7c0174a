from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.novelty import NoveltyIndex, words

TRAINING = [
    "One two three four five six seven eight nine ten.",
    "Still no.",
    "🥖",
]
INDEX = NoveltyIndex.build(TRAINING)


def test_words_are_what_a_reader_would_count() -> None:
    assert words("The north-west WIND, it's “force 8”. #log") == [
        *("the", "north-west", "wind", "it's", "force", "8", "log")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "One two three four five six seven eight",
        "and TWO three, four five... six seven eight nine!",
        TRAINING[0],
        "still no",
        " 🥖 ",
    ],
)
def test_eight_words_in_a_row_are_a_copy_and_so_is_a_whole_short_tweet(text: str) -> None:
    assert INDEX.copies(text)


@pytest.mark.parametrize(
    "text",
    [
        "one two three four five six seven",
        "one two three four nine five six seven eight",
        "Still no. Not today either, and not for you.",
        "still",
        "🥐",
        "",
    ],
)
def test_seven_words_in_a_row_are_none(text: str) -> None:
    assert not INDEX.copies(text)


def test_apostrophes_are_the_same_straight_or_curly() -> None:
    index = NoveltyIndex.build(["I don't bite"])
    assert index.copies("I don\u2019t bite!")


def test_an_index_comes_back_from_its_file_which_holds_no_word(tmp_path: Path) -> None:
    INDEX.save(tmp_path / "shingles.bin")
    assert b"three" not in (tmp_path / "shingles.bin").read_bytes()
    loaded = NoveltyIndex.load(tmp_path / "shingles.bin")
    assert all(map(loaded.copies, TRAINING))
    assert not loaded.copies("something else")


def test_an_empty_index_finds_no_copies(tmp_path: Path) -> None:
    NoveltyIndex.build([]).save(tmp_path / "shingles.bin")
    assert not NoveltyIndex.load(tmp_path / "shingles.bin").copies("one")


def test_a_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(b"123")
    for name in ("cut", "missing"):
        with pytest.raises(UserError, match=name):
            NoveltyIndex.load(tmp_path / name)
