"""Pages for people that belong together say the same things."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import bots.__main__
import local.__main__
from tests.contracts.coverage import ROOT

UNVERIFIED = (ROOT / "docs/unverified.md").read_text()
FIRST_UP = (ROOT / "docs/first-up.md").read_text()
DECISIONS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
HEADINGS = ["Status", "Context", "Options", "Decision", "Consequences"]


def test_each_claim_that_is_not_verified_has_a_check_and_each_check_a_claim() -> None:
    claims = re.findall(r"(?m)^- \*\*([a-z-]+)\*\*: ", UNVERIFIED)
    rows = re.findall(r"(?m)^\| ([a-z-]+) \| (.+) \| (.+) \|$", FIRST_UP)
    assert claims == [claim for claim, *_ in rows if claim not in ("claim", "---")]
    assert len(claims) > 20
    assert all(do.strip() and see.strip() for _, do, see in rows)


def test_each_claim_that_is_not_verified_has_a_name() -> None:
    assert re.findall(r"(?m)^- (?!\*\*[a-z-]+\*\*: ).*", UNVERIFIED) == []


def sections(decision: str) -> dict[str, str]:
    """The text below each heading of a decision."""
    _, *parts = re.split(r"(?m)^## (.+)\n", decision)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("file", DECISIONS, ids=lambda file: file.stem[:4])
def test_each_decision_has_the_five_headings_and_something_below_each(file: Path) -> None:
    found = sections(file.read_text())
    assert list(found) == HEADINGS
    assert all(text.strip() for text in found.values())


def test_each_decision_is_in_the_index_with_its_status() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text()
    expected = list[str]()
    for file in DECISIONS:
        text = file.read_text()
        title = re.match(r"# (\d+)\. (.+)", text)
        assert title, file
        assert int(title[1]) == int(file.stem[:4])
        status = re.match(
            r"\s*(Accepted|Superseded by \[decision (\d+)\])", sections(text)["Status"]
        )
        assert status, file
        kept = f"superseded by {status[2]}" if status[2] else "accepted"
        expected.append(f"| [{title[1]}]({file.name}) | {title[2]} | {kept} |")
    assert re.findall(r"(?m)^\| \[.+$", index) == expected


def test_a_decision_that_supersedes_another_is_named_by_that_one() -> None:
    statuses = {int(file.stem[:4]): sections(file.read_text())["Status"] for file in DECISIONS}
    newer = {
        (int(old), number)
        for number, status in statuses.items()
        for old in re.findall(r"Supersedes\s+\[decision (\d+)\]", status)
    }
    older = {
        (number, int(new))
        for number, status in statuses.items()
        for new in re.findall(r"Superseded by \[decision (\d+)\]", status)
    }
    assert newer == older
    assert older


def commands(program: str) -> set[str]:
    """The first argument of each call of a program, in all pages but the decisions."""
    found = set[str]()
    call = re.compile(rf"(?m)(?:^|`|\$\()(?:\.venv/bin/)?{program} ([a-z-]+)")
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob(".github/*.md")]:
        found |= set(call.findall(page.read_text()))
    return found


def test_each_target_of_make_that_a_page_names_exists() -> None:
    named = commands("make")
    assert named <= set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    assert {"demo", "test", "check", "site"} <= named


def test_each_page_that_is_published_is_in_the_navigation_of_the_site() -> None:
    pages = {page.name for page in ROOT.glob("docs/*.md")}
    navigation = re.findall(r"(?m)^ +- ([a-z-]+\.md)$", (ROOT / "mkdocs.yml").read_text())
    assert pages <= set(navigation)


@pytest.mark.parametrize("main", [bots.__main__.main, local.__main__.main])
def test_each_command_that_a_page_names_exists(
    main: Callable[[Sequence[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    named = commands("bots" if main is bots.__main__.main else "python -m local")
    assert len(named) > 3
    # What follows `pulumi` is Pulumi's.
    for command in named - {"pulumi"}:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, command
