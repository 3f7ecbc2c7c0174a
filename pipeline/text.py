"""X's rules for the text of a post: its weighted length, and what X would make a link of."""

import importlib.resources
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

LIMIT = 280
"""The most that a post may weigh."""

# A user name, where X sees one: twitter-text's validMentionOrList.
# Source: github.com/twitter/twitter-text, js/src/regexp/validMentionOrList.js
_MENTION = re.compile(
    r"(?:^|[^A-Za-z0-9_!#$%&*@\uff20]|(?:^|[^A-Za-z0-9_+~.-])(?:rt|RT|rT|Rt):?)"
    r"[@\uff20][A-Za-z0-9_]{1,20}(?![A-Za-z0-9_@\uff20]|[\u00c0-\u024f]|://)"
)


def _twitter_text() -> ModuleType:
    """The parser, which asks pkg_resources for one file of its own; setuptools has dropped that."""

    def resource_string(module: str, name: str) -> bytes:
        return importlib.resources.files(module.rpartition(".")[0]).joinpath(name).read_bytes()

    stand_in: Any = ModuleType("pkg_resources")
    stand_in.resource_string = resource_string
    before = sys.modules.get("pkg_resources")
    sys.modules["pkg_resources"] = stand_in
    try:
        import twitter_text  # pyright: ignore[reportMissingTypeStubs]
    finally:
        if before is None:
            del sys.modules["pkg_resources"]
        else:
            sys.modules["pkg_resources"] = before
    return twitter_text


_parser = _twitter_text()
_parse_tweet = cast("Callable[[str], Any]", _parser.parse_tweet)
_extract_urls = cast("Callable[[str], list[str]]", _parser.extract_urls)


def weighted_length(text: str) -> int:
    """The length that X counts: links 23, emoji and most scripts beyond Latin 2 a character."""
    return _parse_tweet(text).weightedLength


def valid(text: str) -> bool:
    """Whether X takes the text: not empty, at most LIMIT, none of the characters it refuses."""
    return _parse_tweet(text).valid


def has_link(text: str) -> bool:
    """Whether X would make a link, which costs more, of any of it; `example.com` is enough."""
    return bool(_extract_urls(text))


def has_mention(text: str) -> bool:
    """Whether X would tell anybody that the post names them."""
    return _MENTION.search(text) is not None
