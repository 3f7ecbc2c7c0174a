"""The last step of the release build: points an account's `:live` at the wanted image."""

from collections.abc import Callable

from control_image.bundle import Wanted
from control_image.registry import Registry

LIVE = "live"
"""The tag of the image that jobs run."""


def converge(wanted: Callable[[], Wanted | None], point: Callable[[Wanted], bool]) -> Wanted | None:
    """Point `:live` at the image of the wanted pair, and repeat until the pair has not changed.

    Two builds may do this at once. The one that points last reads the pointers afterwards, so it
    sees whether its pair is still wanted. `point` returns False if the pair has no image yet. Then
    the change of the pointer has started another build, which will point `:live`.
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
    """Point `:live` at the pair's image; False if the registry has no such image."""
    manifest = registry.read(pair.account, pair.tag)
    if manifest is None:
        return False
    registry.put(pair.account, LIVE, manifest)
    return True
