"""Writes tests/stacks/inventories/: what each stack file declares, to be seen in a review.

`python -m tests.stacks.inventories` writes them all; so does `make docs`.
"""

from collections import Counter

import yaml

from tests.stacks.recorder import ROOT, declare, stack_values

FOLDER = ROOT / "tests/stacks/inventories"
STACKS = ("local", "dev", "prod")


def inventory(stack: str) -> str:
    """Types with their counts, names by type, and outputs of one stack, as YAML."""
    declared = declare(stack, stack_values(stack))
    kinds = sorted({resource.type for resource in declared.resources})
    counts = Counter(resource.type for resource in declared.resources)
    document = {
        "resources": len(declared.resources),
        "of providers": len(declared.providers_resources),
        "types": {kind: counts[kind] for kind in kinds},
        "names": {kind: sorted(r.name for r in declared.of(kind)) for kind in kinds},
        "outputs": dict(sorted(declared.outputs.items())),
    }
    return yaml.safe_dump(document, sort_keys=False, width=100)


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for stack in STACKS:
        (FOLDER / f"{stack}.yaml").write_text(inventory(stack))


if __name__ == "__main__":
    main()
