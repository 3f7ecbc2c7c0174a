"""Made-up tweets in two voices, and posts in neither, from the seeded grammars in `voices/`.

A grammar file consists of paragraphs: a line `name:`, and then its alternatives, separated by `|`.
In an alternative, `{name}` stands for one of that name's alternatives. Every tweet expands
`{tweet}`. A line that starts with `#` is a comment.
"""

import random
import re
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "voices"
VOICES = ("keeper", "baker")

_Grammar = dict[str, list[str]]
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
def _grammar(name: str) -> _Grammar:
    own = _parse((FOLDER / f"{name}.txt").read_text(encoding="utf-8"))
    return own if name == "common" else _grammar("common") | own


def _parse(text: str) -> _Grammar:
    rules: _Grammar = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line.startswith(" "):
            name = line.rstrip(":")
            rules[name] = []
        else:
            rules[name] += [part.strip() for part in line.split("|") if part.strip()]
    return rules


def _words(grammar: _Grammar) -> set[str]:
    plain = (re.sub(r"\{\w+\}", " ", text) for texts in grammar.values() for text in texts)
    return {word for text in plain for word in re.findall(r"[\w'-]+", text)}


def _distinct(grammar: _Grammar, count: int, seed: str) -> list[str]:
    rng = random.Random(seed)
    texts: dict[str, None] = {}
    while len(texts) < count:
        text = _tidy(_expand(grammar, rng, "tweet"))
        if len(text) in _LENGTHS:
            texts[text] = None
    return list(texts)


def _expand(grammar: _Grammar, rng: random.Random, name: str) -> str:
    text = rng.choice(grammar[name])
    return re.sub(r"\{(\w+)\}", lambda match: _expand(grammar, rng, match[1]), text)


def _tidy(text: str) -> str:
    """Corrects "a eclair" to "an eclair", and starts each sentence with a capital letter."""
    text = re.sub(r"\b([Aa]) (?=[aeiouAEIOU])", r"\1n ", text)
    return re.sub(r"(^|[.?!] )([a-z])", lambda match: match[1] + match[2].upper(), text)
