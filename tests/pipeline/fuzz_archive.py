"""Looks for bytes that are neither an archive nor refused in one line.

`python -m tests.pipeline.fuzz_archive FOLDER -max_total_time=600`: atheris changes the inputs in
FOLDER, guided by the lines of the reader that they reach. It adds those that reach others.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pipeline.archive"]):  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    from tests.pipeline.archive_bytes import check, seeds


def main() -> None:
    inputs = Path(sys.argv[1])
    for number, seed in enumerate(seeds(inputs)):
        (inputs / f"seed-{number}").write_bytes(seed)
    with tempfile.TemporaryDirectory() as folder:

        def try_one(data: bytes) -> None:
            check(data, Path(folder))

        atheris.Setup(sys.argv, try_one)  # pyright: ignore[reportUnknownMemberType]
        atheris.Fuzz()  # pyright: ignore[reportUnknownMemberType]


if __name__ == "__main__":
    main()
