"""Pages for people that belong together say the same things."""

import re

from tests.contracts.coverage import ROOT

UNVERIFIED = (ROOT / "docs/unverified.md").read_text()
FIRST_UP = (ROOT / "docs/first-up.md").read_text()


def test_each_claim_that_is_not_verified_has_a_check_and_each_check_a_claim() -> None:
    claims = re.findall(r"(?m)^- \*\*([a-z-]+)\*\*: ", UNVERIFIED)
    rows = re.findall(r"(?m)^\| ([a-z-]+) \| (.+) \| (.+) \|$", FIRST_UP)
    assert claims == [line for line, *_ in rows if line not in ("line", "---")]
    assert len(claims) > 20
    assert all(do.strip() and see.strip() for _, do, see in rows)


def test_each_claim_that_is_not_verified_has_a_name() -> None:
    assert re.findall(r"(?m)^- (?!\*\*[a-z-]+\*\*: ).*", UNVERIFIED) == []
