"""Length, links and mentions as X sees them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import text


@pytest.mark.parametrize(
    ("post", "weight"),
    [
        ("", 0),
        ("abc", 3),
        ("é", 1),
        ("字", 2),
        ("👨‍👩‍👧‍👦", 2),
        ("see https://example.com/a/very/long/path/indeed", 27),
        ("“quoted” \u2013 dash", 15),
    ],
)
def test_a_text_weighs_what_x_counts(post: str, weight: int) -> None:
    assert text.weighted_length(post) == weight


def test_a_post_may_weigh_280() -> None:
    assert text.valid("a" * text.LIMIT)
    assert not text.valid("a" * (text.LIMIT + 1))
    assert not text.valid("字" * 141)
    assert not text.valid("")
    assert not text.valid("odd \ufffe")


@pytest.mark.parametrize("post", ["see example.com", "https://t.co/abc", "EXAMPLE.COM/x", "a.co/b"])
def test_an_address_is_a_link(post: str) -> None:
    assert text.has_link(post)


@pytest.mark.parametrize("post", ["the end.The start", "3.14", "e.g. this", "v2.0 is out"])
def test_a_full_stop_is_no_link(post: str) -> None:
    assert not text.has_link(post)


@pytest.mark.parametrize("post", ["@a", "hello @baker.", "(@baker)", "。@baker", "\uff20baker"])
def test_a_name_is_a_mention(post: str) -> None:
    assert text.has_mention(post)


@pytest.mark.parametrize("post", ["meet@noon", "@ noon", "a@example.org", "@_@", "@"])
def test_an_at_sign_alone_is_no_mention(post: str) -> None:
    assert not text.has_mention(post)


def test_the_parser_leaves_no_stand_in_behind() -> None:
    assert not hasattr(sys.modules.get("pkg_resources"), "stand_in")
    assert "pkg_resources" not in sys.modules or sys.modules["pkg_resources"].__file__


def cases(folder: Path, file: str, key: str) -> list[dict[str, Any]]:
    return json.loads((folder / "text" / file).read_text())[key]


def test_every_length_of_the_conformance_suite_is_right(shared_data: Path) -> None:
    for case in cases(shared_data, "weighted-length.json", "cases"):
        found = text.weighted_length(case["text"]), text.valid(case["text"])
        assert found == (case["weightedLength"], case["valid"]), case["id"]


def test_every_link_of_the_conformance_suite_is_seen(shared_data: Path) -> None:
    for case in cases(shared_data, "extract.json", "urls"):
        assert text.has_link(case["text"]) == bool(case["expected"]), case["description"]


def test_every_mention_of_the_conformance_suite_is_seen(shared_data: Path) -> None:
    for case in cases(shared_data, "extract.json", "mentions"):
        assert text.has_mention(case["text"]) == bool(case["expected"]), case["description"]
    for case in cases(shared_data, "no-mention.json", "no_mention"):
        assert not text.has_mention(case["text"]), case["description"]
