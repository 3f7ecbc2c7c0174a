"""Prints the notes of a release: `python tools/release_notes.py v0.2.0`.

They are the version's section of CHANGELOG.md. Exits with an error unless the tag is the version
that pipeline/__init__.py has, and the changelog has a section for it.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print the notes of the tag that the argument names."""
    tag = sys.argv[1]
    found = re.search(r'(?m)^__version__ = "(.+)"$', (ROOT / "pipeline/__init__.py").read_text())
    if not found or tag != f"v{found[1]}":
        sys.exit(f"tag {tag} is not the version in pipeline/__init__.py: v{found and found[1]}")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    section = re.search(
        rf"(?ms)^## \[{re.escape(found[1])}\] - [\d-]+\n+(.+?)(?=\n## |\Z)", changelog
    )
    if not section:
        sys.exit(f"CHANGELOG.md has no section for {found[1]} with a date")
    print(section[1].strip())


if __name__ == "__main__":
    main()
