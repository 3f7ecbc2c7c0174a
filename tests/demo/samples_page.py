"""Writes the table of samples into docs/samples.md: `python -m tests.demo.samples_page`."""

from demo.samples import table
from tests.contracts.coverage import ROOT

PAGE = ROOT / "docs/samples.md"
_MARK = "<!-- written by `make docs` -->\n\n"


def page() -> str:
    """The page with its table as the samples are now."""
    before, mark, _ = PAGE.read_text().partition(_MARK)
    return before + mark + table.of()


if __name__ == "__main__":
    PAGE.write_text(page())
