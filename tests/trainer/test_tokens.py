import json
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel

from pipeline.errors import UserError
from pipeline.tokens import END, Vocabulary

TEXTS = [
    "The lamp burned clear at 4.",
    "I'll wait; we've  two   spaces\nand a line\n\n",
    "rye & butter: 3 pounds! 🥖 #crust ⚓",
    "Ünïcode, 日本語, ﷽ and e\u0301",
    f"an end {END} spelt out",
]


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_those_of_gpt_2_simple(base_model: Path, text: str) -> None:
    theirs = import_module("gpt_2_simple.src.encoder").get_encoder(str(base_model))
    assert Vocabulary(base_model).encode(text) == theirs.encode(text)


@given(st.text())
def test_every_text_survives_encoding(base_model: Path, text: str) -> None:
    vocabulary = Vocabulary(base_model)
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_the_end_token_is_looked_up_and_never_part_of_a_text(base_model: Path) -> None:
    vocabulary = Vocabulary(base_model)
    assert vocabulary.token(vocabulary.end) == END
    assert vocabulary.end not in vocabulary.encode(END)
    assert vocabulary.decode([vocabulary.end, *vocabulary.encode("a"), vocabulary.end]) == "a"


def test_bytes_that_are_not_utf_8_are_marked(base_model: Path) -> None:
    vocabulary = Vocabulary(base_model)
    half_an_emoji = vocabulary.encode("🥖")[1:]
    assert "\ufffd" in vocabulary.decode(half_an_emoji)


def test_a_folder_without_a_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=str(tmp_path)):
        Vocabulary(tmp_path)


def test_a_vocabulary_without_an_end_token_is_refused(tmp_path: Path) -> None:
    letters = {letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))}
    (tmp_path / "encoder.json").write_text(json.dumps(letters))
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\n")
    with pytest.raises(UserError, match="no end token"):
        Vocabulary(tmp_path)
