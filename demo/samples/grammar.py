"""Made-up tweets in two voices, and posts in neither, from the seeded grammars in `voices/`.

A grammar file is paragraphs of `name:` and its alternatives, divided by `|`; `{name}` in an
alternative stands for one of that name's, and a line that starts with `#` is a comment. Every
tweet begins as `{tweet}`.
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
    """`count` distinct tweets; a larger `count` only adds to the end of a smaller one."""
    return _distinct(_grammar(voice), count, f"{voice}-{seed}")


def timeline(
    voice: str, until: datetime, count: int = 600, seed: int = 7
) -> list[tuple[str, datetime]]:
    """Those tweets with times some hours apart, the oldest first, the last before `until`."""
    rng = random.Random(f"{voice}-{seed}-times")
    at = until
    dated: list[tuple[str, datetime]] = []
    for text in reversed(tweets(voice, count, seed)):
        at -= timedelta(seconds=rng.randrange(2 * 3600, 20 * 3600))
        dated.append((text, at))
    return dated[::-1]


def base_corpus(count: int = 20_000, seed: int = 1) -> list[str]:
    """Distinct posts in neither voice, with every word that the voices use out of its order.

    So the base model stands to the voices as the real GPT-2 does: it knows their words, and none
    of their tweets.
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
    found: dict[str, None] = {}
    while len(found) < count:
        text = _tidy(_expand(grammar, rng, "tweet"))
        if len(text) in _LENGTHS:
            found[text] = None
    return list(found)


def _expand(grammar: _Grammar, rng: random.Random, name: str) -> str:
    text = rng.choice(grammar[name])
    return re.sub(r"\{(\w+)\}", lambda found: _expand(grammar, rng, found[1]), text)


def _tidy(text: str) -> str:
    """Mend what the grammars leave: "a eclair", and small letters where a sentence starts."""
    text = re.sub(r"\b([Aa]) (?=[aeiouAEIOU])", r"\1n ", text)
    return re.sub(r"(^|[.?!] )([a-z])", lambda found: found[1] + found[2].upper(), text)
