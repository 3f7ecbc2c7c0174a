"""What the registry's client relies on: the same body for a real registry and the local cloud's."""

import pytest

from control_image.registry import Manifest, Registry
from pipeline.errors import UserError


def moves_tags(registry: Registry, image: str, first: str, second: str) -> None:
    """A tag moves between two tagged manifests of an image, byte by byte as they are."""
    assert registry.read(image, "absent") is None
    assert registry.read("absent", "live") is None
    manifests = [registry.read(image, tag) for tag in (first, second)]
    one, two = (found for found in manifests if found is not None)
    assert one.digest != two.digest
    for manifest in (one, two, two, one):
        registry.put(image, "live", manifest)
        assert registry.read(image, "live") == manifest
    # By its digest a manifest is found under its own bytes alone.
    assert registry.read(image, one.digest) == one


def refuses(registry: Registry, image: str, tag: str) -> None:
    """A manifest of what was never pushed makes no tag."""
    known = registry.read(image, tag)
    assert known is not None
    digest = known.data.rpartition(b"sha256:")[2][:64]
    unknown = Manifest(known.data.replace(digest, b"0" * 64), known.media_type)
    with pytest.raises(UserError, match=f"{image}:unknown cannot be moved: 4"):
        registry.put(image, "unknown", unknown)
    assert registry.read(image, "unknown") is None
