"""What each stack file declares is what was reviewed."""

import difflib

import pytest

from tests.stacks.inventories import FOLDER, STACKS, inventory


@pytest.mark.parametrize("stack", STACKS)
def test_the_inventory_is_current(stack: str) -> None:
    file = FOLDER / f"{stack}.yaml"
    reviewed, declared = file.read_text(), inventory(stack)
    changes = "".join(
        difflib.unified_diff(
            reviewed.splitlines(keepends=True),
            declared.splitlines(keepends=True),
            "reviewed",
            "declared",
            n=1,
        )
    )
    assert reviewed == declared, (
        f"what {stack} declares has changed:\n{changes}"
        "If that is meant, write the inventories again by `make docs`"
        " (or `python -m tests.stacks.inventories`) and commit them"
    )
