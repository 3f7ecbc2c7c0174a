"""The difference between two sets of inputs, and which of it needs a new resource."""

import re
from collections.abc import Collection, Iterator
from itertools import zip_longest
from typing import Any, cast

from pulumi.runtime.proto.provider_pb2 import PropertyDiff

from local.engine.handler import Json
from local.engine.schema import join

_ADD, _DELETE, _UPDATE = PropertyDiff.ADD, PropertyDiff.DELETE, PropertyDiff.UPDATE
_REPLACING = {
    _ADD: PropertyDiff.ADD_REPLACE,
    _DELETE: PropertyDiff.DELETE_REPLACE,
    _UPDATE: PropertyDiff.UPDATE_REPLACE,
}


def changes(
    old: Json, new: Json, *, replace_on: Collection[str], insignificant: Collection[str]
) -> dict[str, PropertyDiff]:
    """Returns the changed properties by path. `Handler` explains the two collections."""
    return {
        path: PropertyDiff(kind=_REPLACING[kind] if _within(path, replace_on) else kind)
        for path, kind in _changed(old, new, "")
        if not _within(path, insignificant)
    }


def is_replacing(change: PropertyDiff) -> bool:
    """Tells whether a change needs a new resource."""
    return change.kind in _REPLACING.values()


def top(path: str) -> str:
    """Returns the resource's property that `path` lies in."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _changed(old: Any, new: Any, path: str) -> Iterator[tuple[str, PropertyDiff.Kind.ValueType]]:
    """Yields each changed path, as deep as both sides have the same shape."""
    if isinstance(old, dict) and isinstance(new, dict):
        before, after = cast("Json", old), cast("Json", new)
        for key in sorted({*before, *after}):
            if not key.startswith("__"):
                yield from _changed(before.get(key), after.get(key), join(path, key))
    elif isinstance(old, list) and isinstance(new, list):
        pairs = zip_longest(cast("list[Any]", old), cast("list[Any]", new))
        for index, pair in enumerate(pairs):
            yield from _changed(*pair, f"{path}[{index}]")
    elif old != new:
        yield path, _ADD if old is None else _DELETE if new is None else _UPDATE


def _within(path: str, properties: Collection[str]) -> bool:
    """Tells whether `path`, without list positions, is one of `properties` or lies within one."""
    plain = re.sub(r"\[\d+\]", "", path)
    return any(re.match(rf"{re.escape(name)}(?=$|[.\[])", plain) for name in properties)
