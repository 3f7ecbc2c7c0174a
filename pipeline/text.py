"""X's rules for the text of a post: weighted length, validity, links and mentions."""

import importlib.resources
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

LIMIT = 280
"""The largest weighted length of a post."""

# A user name where X sees a mention: twitter-text's validMentionOrList.
# Source: github.com/twitter/twitter-text, js/src/regexp/validMentionOrList.js
_MENTION = re.compile(
    r"(?:^|[^A-Za-z0-9_!#$%&*@\uff20]|(?:^|[^A-Za-z0-9_+~.-])(?:rt|RT|rT|Rt):?)"
    r"[@\uff20][A-Za-z0-9_]{1,20}(?![A-Za-z0-9_@\uff20]|[\u00c0-\u024f]|://)"
)


def _twitter_text() -> ModuleType:
    """Import the parser, with a stand-in for pkg_resources, which setuptools has dropped.

    The parser reads one file of its own through pkg_resources.
    """

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
    """The length as X counts it: a link is 23; emoji and most non-Latin characters are 2 each."""
    return _parse_tweet(text).weightedLength


def valid(text: str) -> bool:
    """Whether X accepts the text: not empty, at most LIMIT, no character that X refuses."""
    return _parse_tweet(text).valid


def links(text: str) -> list[str]:
    """The parts of the text that X turns into links, in their order; `example.com` is one."""
    return _extract_urls(text)


def has_link(text: str) -> bool:
    """Whether X would turn a part of the text into a link. A post with a link costs more."""
    return bool(links(text))


def has_mention(text: str) -> bool:
    """Whether X would notify a user that the post mentions them."""
    return _MENTION.search(text) is not None
