"""Files that several processes may write and read at the same time."""

import tempfile
from pathlib import Path


def write(file: Path, content: bytes, mode: int = 0o644) -> None:
    """Writes a file in one step: a reader sees the old content or the new content."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".", delete=False) as new:
        new.write(content)
    Path(new.name).chmod(mode)
    Path(new.name).replace(file)
