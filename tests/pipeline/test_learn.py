"""What may be said of what is learnt: strictly in a stack file, tolerantly in a document."""

import pytest
from pydantic import ValidationError

from pipeline import patterns
from pipeline.learn import Learn, StoredLearn


def test_an_unknown_key_is_an_error_in_a_stack_file_and_kept_in_a_document() -> None:
    said = {"moods": ["calm"], "exclude": {"names": ["x"]}}
    with pytest.raises(ValidationError):
        Learn.model_validate(said)
    stored = StoredLearn.model_validate(said)
    assert stored.model_dump(include={"moods", "exclude"}) == {
        "moods": ["calm"],
        "exclude": {"words": (), "patterns": (), "ids": (), "names": ["x"]},
    }
    assert Learn.known(stored) == Learn()


def test_what_is_learnt_matches_as_far_as_it_is_known() -> None:
    stored = StoredLearn.model_validate({"min_words": 3, "moods": [], "exclude": {"names": []}})
    assert Learn(min_words=3).match(stored)
    assert not Learn().match(stored)
    other = StoredLearn.model_validate({"exclude": {"words": ["boss"]}})
    assert not Learn().match(other)


def test_the_defaults_are_what_a_document_without_a_key_means() -> None:
    assert Learn().match(StoredLearn())
    assert (Learn().replies, Learn().quotes, Learn().apps, Learn().min_words) == (
        False,
        True,
        "once",
        1,
    )


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", r"(a)\1", "*", "[", "a{1001}", "(?P<>a)"])
def test_a_pattern_that_cannot_be_searched_in_linear_time_is_one_line(pattern: str) -> None:
    with pytest.raises(ValidationError) as error:
        Learn.model_validate({"exclude": {"patterns": [pattern]}})
    (only,) = error.value.errors()
    assert repr(pattern) in only["msg"]
    assert "\n" not in only["msg"]


def test_a_pattern_is_found_in_any_case_and_script() -> None:
    for pattern, text in (
        ("fog", "FOG"),
        (r"^day \d+$", "Day 17"),
        ("\u043a\u043e\u0442", "\u041a\u041e\u0422"),
        ("霧.", "霧が"),
    ):
        assert patterns.compiled(pattern)(text), pattern
    assert not patterns.compiled("fog")("frog")


def test_excluded_words_are_words() -> None:
    for words in ([""], [" "], ["x" * 101]):
        with pytest.raises(ValidationError):
            Learn.model_validate({"exclude": {"words": words}})
