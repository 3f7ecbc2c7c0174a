"""Each character that a pattern names is one that it admits, and its neighbours are not."""

# pyright: reportPrivateUsage=false

import string
import sys
from types import ModuleType
from typing import Any

import pytest

from pipeline import novelty, release, slots, text
from pipeline.layout import account_of
from pipeline.objections import unsafe_words
from pipeline.tweets import Tweet
from tests import messages
from tests.pipeline.curating import clean

IN_NAMES = string.ascii_letters + string.digits + "_"


@pytest.mark.parametrize("character", IN_NAMES)
def test_every_letter_digit_and_underscore_may_be_in_a_mention(character: str) -> None:
    assert text.has_mention(f"hello @{character}")
    assert text.has_mention(f"hello \uff20{character}!")
    assert not text.has_mention(f"{character}@lamp")
    assert not text.has_mention(f"hello @{'x' * 20}{character}")


@pytest.mark.parametrize("before", "!#$%&*@\uff20")
def test_a_sign_that_x_does_not_accept_before_a_mention_makes_none(before: str) -> None:
    assert not text.has_mention(f"{before}@lamp")


@pytest.mark.parametrize("before", ["", " ", "(", ".", "-", "é", "rt ", "RT:", "rT", "Rt: "])
def test_what_x_accepts_before_a_mention_makes_one(before: str) -> None:
    assert text.has_mention(f"{before}@lamp")


@pytest.mark.parametrize("before", ["+rt", "~rt", ".rt", "-rt", "art", "9RT", "_rt"])
def test_rt_at_the_end_of_a_word_is_no_retweet(before: str) -> None:
    assert not text.has_mention(f"{before}@lamp")


@pytest.mark.parametrize("after", ["@", "\uff20", "\u00c0", "\u024f", "\u00e9", "://"])
def test_what_x_does_not_accept_after_a_mention_makes_none(after: str) -> None:
    assert not text.has_mention(f"hello @lamp{after}")


@pytest.mark.parametrize("after", [" ", ".", ":", ":/", "\u00bf", "\u0250", "-", "'s"])
def test_what_x_accepts_after_a_mention_makes_one(after: str) -> None:
    assert text.has_mention(f"hello @lamp{after}")


def test_tweets_are_cleaned_as_reviewed() -> None:
    raw = [
        "RT @a: no",
        "RT @ a is none",
        "rt @a: is none",
        "see https://t.co/Aa0",
        "see HTTPS://T.CO/ZZ9?amp=1 now",
        "see https://t.co/Aa0) now",
        "see http://example.com/a?b now",
        'see "http://example.com" now',
        "see <http://example.com> now",
        "@a @b: hello",
        ".@a, hello @b",
        "\uff20a hello",
        "@" + "x" * 20 + " hello",
        "@" + "x" * 21 + " hello",
        "@a",
        "a &amp; b &lt;3",
        "  two   spaces \t and tabs ",
        "one\n\n \n two \n three",
        "an<|endoftext|>end",
        "nul\x00 bell\x07 back\x08 shift\x0e unit\x1f del\x7f x\x84y\x86z\x9f",
        "next\x85line",
        "e\u0301",
        "123 456",
        "1a",
        "...",
        "",
    ]
    messages.check("clean", {one: clean(one) for one in raw})


def test_words_are_told_as_reviewed() -> None:
    texts = ["The north-west, it's", "it\u2019s 5-a-day", "a--b 'c' d'", "ÉTÉ straße", "_a_ 9"]
    messages.check("words", {one: novelty.words(one) for one in texts})


def test_eight_words_in_a_row_are_a_copy_and_seven_are_not() -> None:
    index = novelty.NoveltyIndex.build(["a b c d e f g h i", "only three words", "\U0001f600"])
    assert index.copies("x b c d e f g h i y")
    assert not index.copies("x c d e f g h i y")
    assert index.copies("Only three WORDS")
    assert not index.copies("only three words more")
    assert index.copies(" \U0001f600 ")
    assert (
        index._hashes.tobytes().hex()[:32]
        == (
            novelty.NoveltyIndex.build(["\U0001f600", "only three words", "a b c d e f g h i"])
            ._hashes.tobytes()
            .hex()[:32]
        )
    )
    messages.check("shingles", {"hashes": list(index._hashes)})


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("model/model.bin", True),
        ("model/A0_z.-9", True),
        ("model/_x", True),
        ("model/.x", False),
        ("model/-x", False),
        ("model/a/b", False),
        ("model/", False),
        ("MODEL/x", False),
    ],
)
def test_a_file_of_a_model_has_a_plain_name(name: str, good: bool) -> None:
    assert bool(release._MODEL_FILE.fullmatch(name)) == good


@pytest.mark.parametrize(
    ("tag", "good"),
    [
        ("20261123T101500Z-0123abcd", True),
        ("20261123t101500z-0123abcd", False),
        ("20261123T101500Z-0123ABCD", False),
        ("20261123T101500Z-0123abc", False),
        ("20261123T101500Z-0123abcd\n", False),
    ],
)
def test_a_tag_is_a_time_and_eight_digits(tag: str, good: bool) -> None:
    given: dict[str, Any] = {"release": tag, "at": "2026-11-23T00:00:00Z", "by": "x"}
    if good:
        assert release.LivePointer(**given, previous=None).release == tag
    else:
        with pytest.raises(ValueError, match="release"):
            release.LivePointer(**given, previous=None)


@pytest.mark.parametrize("id_", ["1", "1" * 20])
def test_an_id_is_a_number_of_at_most_twenty_digits(id_: str) -> None:
    given: dict[str, Any] = {"text": "a", "created_at": "2026-11-23T00:00:00Z"}
    assert Tweet(id=id_, source="archive", **given).id == id_
    for wrong in ("", "1" * 21, "a", "-1"):
        with pytest.raises(ValueError, match="id"):
            Tweet(id=wrong, source="archive", **given)


def test_an_accounts_name_has_at_most_thirty_characters() -> None:
    for name in ("a", "a-0", "a" * 30, "a" + "-" * 28 + "9"):
        assert account_of(f"rollout/live/{name}.json") == name
    for name in ("", "A", "0a", "-a", "a-", "a" * 31, "a_b"):
        assert account_of(f"rollout/live/{name}.json") is None


def test_a_comment_is_no_unsafe_word(tmp_path: Any) -> None:
    (tmp_path / "words").write_text("# a comment\n\nabc  # why\n def\n")
    assert unsafe_words(tmp_path / "words") == {"abc", "def"}
    assert all(len(digest) == 64 for digest in unsafe_words())


def test_the_parsers_stand_in_module_is_gone_after_its_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "pkg_resources", raising=False)
    text._twitter_text()
    assert "pkg_resources" not in sys.modules
    own = ModuleType("pkg_resources")
    monkeypatch.setitem(sys.modules, "pkg_resources", own)
    text._twitter_text()
    assert sys.modules["pkg_resources"] is own


def test_a_slot_is_told_from_other_objects_of_its_folder() -> None:
    assert slots._is_name("20261123T0900Z")
    for other in ("history", "spend", "20261323T0900Z", "20261123T0900"):
        assert not slots._is_name(other)
