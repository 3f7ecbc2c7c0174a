"""Expands seeded grammars into texts.

A grammar file consists of paragraphs: a line `name:`, and then its alternatives, separated by `|`.
In an alternative, `{name}` stands for one of that name's alternatives. A line that starts with `#`
is a comment.
"""

import random
import re
from pathlib import Path

Grammar = dict[str, list[str]]
"""The alternatives of each name."""


def read(file: Path) -> Grammar:
    """Returns the grammar in `file`."""
    rules: Grammar = {}
    name = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line.startswith(" "):
            name = line.rstrip(":")
            rules[name] = []
        else:
            rules[name] += [part.strip() for part in line.split("|") if part.strip()]
    return rules


def expand(grammar: Grammar, rng: random.Random, name: str) -> str:
    """Returns one of the texts that `name` stands for."""
    text = rng.choice(grammar[name])
    return re.sub(r"\{(\w+)\}", lambda match: expand(grammar, rng, match[1]), text)


def tidy(text: str) -> str:
    """Corrects "a eclair" to "an eclair", and starts each sentence with a capital letter."""
    text = re.sub(r"\b([Aa]) (?=[aeiouAEIOU])", r"\1n ", text)
    return re.sub(r"(^|[.?!] )([a-z])", lambda match: match[1] + match[2].upper(), text)
