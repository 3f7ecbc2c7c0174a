"""Writes docs/curation.md from the rules: `python -m tests.pipeline.curation_page`."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from pipeline.curation import RULES
from pipeline.curation.rule import Example, Rule
from pipeline.learn import Learn

PAGE = Path(__file__).resolve().parents[2] / "docs/curation.md"

# They print as a space, or as nothing.
_BLANK = "\u2800\u3164\u115f"

_INTRODUCTION = """\
# Curation

What of the collected tweets is learnt. The rules are the same for every source. They are applied
in this order; `learn:` of an account [configures](configuration.md#learn) those that name a key.
Each tweet is either learnt or left out for one reason, which is the name of a rule.
`bots corpus ACCOUNT` shows how many tweets each rule left out, and
`bots corpus ACCOUNT --dropped` shows some of them. A release's manifest has the counts.

A tweet's fate depends on itself, on older tweets and on what the bot posted. Newer tweets change it
in one case: a later version of an edited tweet takes the place of an earlier one. An older tweet
that is collected late can make a newer one its duplicate.

`make docs` writes this page from [`pipeline/curation/rules.py`](../pipeline/curation/rules.py). A
test checks each example.
"""


def page() -> str:
    """The page with every rule and its examples."""
    return _INTRODUCTION + "".join(map(_section, RULES))


def _section(rule: Rule) -> str:
    wrapper = textwrap.TextWrapper(100, break_long_words=False, break_on_hyphens=False)
    section = f"\n## {rule.name}\n\n{wrapper.fill(rule.says)}\n"
    if rule.key:
        default = Learn().model_dump(mode="json")[rule.key]
        shown = "none" if isinstance(default, dict) else f"`{json.dumps(default)}`"
        section += f"\nKey: `learn.{rule.key}`; default: {shown}.\n"
    if rule.examples:
        section += "\n| tweet | learnt |\n| --- | --- |\n" + "".join(map(_row, rule.examples))
    return section


def _row(example: Example) -> str:
    notes = "; ".join(_notes(example))
    raw = _code(example.raw) + (f" ({notes})" if notes else "")
    learnt = "left out" if example.learnt is None else _code(example.learnt)
    return f"| {raw} | {learnt} |\n"


def _notes(example: Example) -> Iterator[str]:
    if example.tweet.get("kind"):
        yield f"a {example.tweet['kind']}"
    yield from (f"after {_code(text)}" for text in example.after)
    yield from (f"posted: {_code(text)}" for text in example.posted)
    yield from (f"`{key}: {_value(value)}`" for key, value in example.learn.items())


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        inner = cast("Mapping[str, object]", value)
        return f"{{{', '.join(f'{key}: {_value(one)}' for key, one in inner.items())}}}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _code(text: str) -> str:
    """The text in a cell of a table, with an escape for each character that nobody sees."""
    shown = "".join(
        one if one.isprintable() and one not in _BLANK else one.encode("unicode_escape").decode()
        for one in text
    )
    return f"`{shown}`".replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
