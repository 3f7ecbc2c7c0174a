"""Writes the tables of samples into docs/samples.md: `python -m tests.demo.samples_page`."""

from demo.samples import table
from tests.contracts.coverage import ROOT

PAGE = ROOT / "docs/samples.md"
_MARK = "<!-- written by `make docs` -->\n\n"
_LEFT_OUT = """
## What curation leaves out

Of the same tweets, with the defaults of `learn:`, by [rule](curation.md):

"""


def page() -> str:
    """The page with its tables as the samples and the rules are now."""
    before, mark, _ = PAGE.read_text().partition(_MARK)
    return before + mark + table.of() + _LEFT_OUT + table.left_out()


if __name__ == "__main__":
    PAGE.write_text(page())
