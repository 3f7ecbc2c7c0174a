"""Writes the alerts into docs/monitoring.md: `python -m tests.stacks.alerts_page`."""

import re
import textwrap

from stacks.alerts import ALERTS
from tests.contracts.coverage import ROOT

PAGE = ROOT / "docs/monitoring.md"


def page() -> str:
    """The page with its section of alerts as `stacks/alerts.py` has them."""
    wrapper = textwrap.TextWrapper(100, break_long_words=False, break_on_hyphens=False)
    section = "".join(
        f"### {alert.title}\n\n`{key}`\n\n{wrapper.fill(alert.what_to_do)}\n\n"
        for key, alert in ALERTS.items()
    )
    return re.sub(
        r"(?ms)(?<=\n<!-- written by `make docs` -->\n\n).*?(?=^## )",
        lambda _: section,
        PAGE.read_text(),
    )


if __name__ == "__main__":
    PAGE.write_text(page())
