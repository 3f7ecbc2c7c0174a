"""What each stack declares is what was reviewed."""

import difflib

import pytest

from tests.stacks.environments import ENVIRONMENTS
from tests.stacks.inventories import FOLDER, inventory


@pytest.mark.parametrize("stack", ENVIRONMENTS)
def test_what_is_declared_is_what_was_reviewed(stack: str) -> None:
    reviewed, declared = (FOLDER / f"{stack}.yaml").read_text(), inventory(stack)
    changes = "\n".join(
        difflib.unified_diff(
            reviewed.splitlines(), declared.splitlines(), "reviewed", "declared", lineterm=""
        )
    )
    if changes:
        pytest.fail(
            f"the declaration of {stack} has changed:\n{changes}\n"
            "If you want this change, write the inventories again and commit them:\n"
            "python -m tests.stacks.inventories",
            pytrace=False,
        )
