"""What people read, as it was reviewed: error lines, log lines and help pages.

Each file in tests/messages/ has the texts of one part, by what causes them. After a change that
you want, `UPDATE_MESSAGES=1 pytest FILE` writes them again; a review sees the difference.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "messages"


def check(part: str, said: Mapping[str, object]) -> None:
    """Compare the texts of a part with the reviewed ones."""
    file = FOLDER / f"{part}.json"
    if os.environ.get("UPDATE_MESSAGES"):
        file.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    reviewed = json.loads(file.read_text())
    assert dict(said) == reviewed, f"write {file} again (UPDATE_MESSAGES=1) if you want the change"
