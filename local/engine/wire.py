"""Values as Pulumi's engine sends them: JSON in which secrets and unknown values are marked.

The markers are those of pulumi/sdk/go/common/resource (sig package).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from local.engine.handler import UNKNOWN, Json

MARKER = "4dabf18193072939515e22adb298388d"
ASSETS = {"c44067f5952c0a294b673a41bacd8c17", "0def7320c3a5731c473e5ecbe6d01bc7"}
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105

# A shorter secret would mark every output that happens to contain it.
_TELLING = 6


@dataclass(frozen=True)
class Secret:
    """A value that the engine encrypts in its state and never shows."""

    value: Any


def decode(struct: Struct) -> Json:
    """Returns JSON with `Secret` around each secret. Whole numbers become int."""
    return _decoded(json_format.MessageToDict(struct))


def encode(values: Mapping[str, Any]) -> Struct:
    """The inverse of `decode`."""
    return json_format.ParseDict(_encoded(values), Struct())


def reveal(value: Any) -> Any:
    """Returns `value` without the marks of secrets."""
    return reveal(value.value) if isinstance(value, Secret) else _map(value, reveal)


def guard(values: Json, inputs: Json) -> Json:
    """Marks as secret whatever in `values` comes from a secret of `inputs`.

    That is the value at the same place, and every text that contains the secret's text.
    """
    texts = [text for text in _secret_texts(inputs) if len(text) >= _TELLING]
    return _guarded(values, inputs, texts)


def redact(line: str, inputs: Json) -> str:
    """Returns `line` without the texts of the secrets of `inputs`."""
    for text in sorted(_secret_texts(inputs), key=len, reverse=True):
        line = line.replace(text, "[secret]")
    return line


def mentions_unknown(value: Any) -> bool:
    """Tells whether `value` contains, at any depth, an unknown or a text made of one."""
    if isinstance(value, str):
        return UNKNOWN in value
    return any(mentions_unknown(item) for item in _parts(value))


def settle(value: Any) -> Any:
    """Returns `value` with each text that was made of an unknown replaced by UNKNOWN."""
    if isinstance(value, str):
        return UNKNOWN if UNKNOWN in value else value
    return _map(value, settle)


def _map(value: Any, change: Callable[[Any], Any]) -> Any:
    match value:
        case dict():
            return {key: change(item) for key, item in cast("Json", value).items()}
        case list():
            return [change(item) for item in cast("list[Any]", value)]
        case _:
            return value


def _parts(value: Any) -> list[Any]:
    match value:
        case dict():
            return list(cast("Json", value).values())
        case list():
            return cast("list[Any]", value)
        case _:
            return []


def _decoded(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict) and cast("Json", value).get(MARKER) == _SECRET:
        # A secret null comes without a value.
        return Secret(_decoded(cast("Json", value).get("value")))
    return _map(value, _decoded)


def _encoded(value: Any) -> Any:
    if isinstance(value, Secret):
        return {MARKER: _SECRET, "value": _encoded(value.value)}
    return _map(value, _encoded)


def _secret_texts(value: Any, secret: bool = False) -> Iterator[str]:
    if isinstance(value, Secret):
        yield from _secret_texts(value.value, secret=True)
    elif secret and isinstance(value, str) and value not in ("", UNKNOWN):
        yield value
    for item in _parts(value):
        yield from _secret_texts(item, secret)


def _guarded(value: Any, model: Any, texts: list[str]) -> Any:
    if isinstance(model, Secret):
        return Secret(value)
    if isinstance(value, str):
        return Secret(value) if any(text in value for text in texts) else value
    if isinstance(value, dict):
        models = cast("Json", model) if isinstance(model, dict) else {}
        items = cast("Json", value).items()
        return {key: _guarded(item, models.get(key), texts) for key, item in items}
    if isinstance(value, list):
        items = cast("list[Any]", value)
        models = _parts(model) if len(_parts(model)) == len(items) else [None] * len(items)
        return [_guarded(*pair, texts) for pair in zip(items, models, strict=True)]
    return value
