"""Made-up tweets in two voices, and posts in neither, from the seeded grammars in `voices/`.

Every tweet expands `{tweet}`.
"""

import random
import re
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from demo.samples.expander import Grammar, expand, read, tidy

FOLDER = Path(__file__).parent / "voices"
VOICES = ("keeper", "baker")

_LENGTHS = range(25, 281)


def tweets(voice: str, count: int = 600, seed: int = 7) -> list[str]:
    """Returns `count` distinct tweets; a larger `count` adds tweets at the end."""
    return _distinct(_grammar(voice), count, f"{voice}-{seed}")


def timeline(
    voice: str, until: datetime, count: int = 600, seed: int = 7
) -> list[tuple[str, datetime]]:
    """Returns these tweets with times some hours apart, all before `until`, the oldest first."""
    rng = random.Random(f"{voice}-{seed}-times")
    at = until
    dated: list[tuple[str, datetime]] = []
    for text in reversed(tweets(voice, count, seed)):
        at -= timedelta(seconds=rng.randrange(2 * 3600, 20 * 3600))
        dated.append((text, at))
    return dated[::-1]


def base_corpus(count: int = 20_000, seed: int = 1) -> list[str]:
    """Returns distinct posts in neither voice, with all words of the voices in random order.

    So the base model knows the words of the voices and none of their tweets, like the real GPT-2.
    """
    words = {w for voice in VOICES for w in _words(_grammar(voice))}
    return _distinct(_grammar("base") | {"w": sorted(words)}, count, f"base-{seed}")


@cache
def _grammar(name: str) -> Grammar:
    own = read(FOLDER / f"{name}.txt")
    return own if name == "common" else _grammar("common") | own


def _words(grammar: Grammar) -> set[str]:
    plain = (re.sub(r"\{\w+\}", " ", text) for texts in grammar.values() for text in texts)
    return {word for text in plain for word in re.findall(r"[\w'-]+", text)}


def _distinct(grammar: Grammar, count: int, seed: str) -> list[str]:
    rng = random.Random(seed)
    texts: dict[str, None] = {}
    while len(texts) < count:
        text = tidy(expand(grammar, rng, "tweet"))
        if len(text) in _LENGTHS:
            texts[text] = None
    return list(texts)
