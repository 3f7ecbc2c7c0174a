"""Writes `docs/mutants.md`. Its explanations come from `docs/mutants.toml`."""

import difflib
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tools.mutants.judge import Judged
from tools.mutants.mutations import Mutation

_HEAD = """\
# What the tests notice

`make mutants` wrote this page. It changes the code in one small way at a time and runs the tests
that run the changed line. If no test notices the change, it runs pyright on the file; a change
that pyright does not refuse either survives. mutmut's operators make the changes. Decision
{decision} says how the tests are chosen.

{number} changes out of {total}, chosen by seed {seed}, at commit {commit}.

| package | changes | killed | timed out | refused | survived | score |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""
_DECISION = "[38](decisions/0038-mutants-by-a-driver-of-our-own.md)"


def write(docs: Path, judged: Sequence[Judged], **facts: object) -> list[str]:
    """Write the page; returns survivors without explanation, and unused explanations."""
    explanations = tomllib.loads((docs / "mutants.toml").read_text())
    survivors = [one for one in judged if one.verdict == "survived"]
    lines = [_HEAD.format(decision=_DECISION, number=len(judged), **facts).rstrip()]
    lines += [
        _row(package, [one for one in judged if _package(one) == package])
        for package in sorted({_package(one) for one in judged})
    ]
    lines += [_row("all", judged), "", "## Survivors", ""]
    lines.append("Explanations are in `docs/mutants.toml`, under the names of the survivors.")
    for one in survivors:
        lines += ["", *_survivor(one.mutation, explanations.get(one.mutation.id))]
    (docs / "mutants.md").write_text("\n".join([*lines, ""]))
    return sorted({one.mutation.id for one in survivors} ^ explanations.keys())


def diff(mutation: Mutation) -> list[str]:
    """The removed and added lines, with `-` and `+` before them."""
    before, after = mutation.module.code.splitlines(), mutation.text().splitlines()
    lines = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    return [line for line in lines if not line.startswith("@@")]


def _package(one: Judged) -> str:
    return one.mutation.file.partition("/")[0]


def _row(name: str, judged: Sequence[Judged]) -> str:
    count = Counter(one.verdict for one in judged)
    score = 1 - count["survived"] / len(judged)
    verdicts = [count[verdict] for verdict in ("killed", "timed out", "refused", "survived")]
    cells = [name, len(judged), *verdicts]
    return f"| {' | '.join(map(str, cells))} | {score:.0%} |"


def _survivor(mutation: Mutation, why: str | None) -> list[str]:
    return [
        f"### {mutation.file}:{mutation.line}",
        "",
        f"`{mutation.id}`: {why or '**not explained yet**'}",
        "",
        "```diff",
        *diff(mutation),
        "```",
    ]
