"""Prints the notes of a release: `python tools/release_notes.py v0.2.0`.

The notes are the version's section of CHANGELOG.md. Exits with an error if the tag is not the
version in pipeline/__init__.py, or if the changelog has no section for it.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print the notes of the tag that the argument names."""
    tag = sys.argv[1]
    version = re.search(r'(?m)^__version__ = "(.+)"$', (ROOT / "pipeline/__init__.py").read_text())
    if not version or tag != f"v{version[1]}":
        sys.exit(f"tag {tag} is not the version in pipeline/__init__.py: v{version and version[1]}")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    section = re.search(
        rf"(?ms)^## \[{re.escape(version[1])}\] - [\d-]+\n+(.+?)(?=\n## |\Z)", changelog
    )
    if not section:
        sys.exit(f"CHANGELOG.md has no section for {version[1]} with a date")
    print(section[1].strip())


if __name__ == "__main__":
    main()
