"""The last step of the release build: `:live` of an account means what its pointers ask for."""

from collections.abc import Callable

from control_image.bundle import Wanted
from control_image.registry import Registry

LIVE = "live"
"""The tag that jobs run."""


def converge(wanted: Callable[[], Wanted | None], point: Callable[[Wanted], bool]) -> Wanted | None:
    """Point `:live` at the image of the wanted pair until it is still the wanted one afterwards.

    Two builds may do this at once. Whoever points last reads the pointers after that, and so sees
    whether it pointed at what is wanted. `point` answers False where the pair has no image yet:
    the event that made it wanted has a build of its own, which points `:live` when it comes here.
    """
    pair = wanted()
    while pair is not None:
        if not point(pair):
            return None
        now = wanted()
        if now == pair:
            return pair
        pair = now
    return None


def point(registry: Registry, pair: Wanted) -> bool:
    """Make `:live` mean the pair's image; False where that is not in the registry."""
    manifest = registry.read(pair.account, pair.tag)
    if manifest is None:
        return False
    registry.put(pair.account, LIVE, manifest)
    return True
