"""What a resource may be given, read from the types of Pulumi's own SDKs.

The SDKs send a dict literal as it is, so a misspelt key, a wrong type or a bad enum passes them
unseen and fails at Google; here it fails in preview. Nothing is copied from the SDKs: what they
declare, of whatever version is installed, is the rule.
"""

import difflib
import importlib
import inspect
import re
import threading
import typing
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from types import NoneType
from typing import Any, cast

import pulumi

from local.provider.kinds import UNKNOWN, Json
from local.provider.wire import ASSETS, MARKER

# The SDKs load their parts lazily, which Python 3.11 does not do safely from several threads.
_one_at_a_time = threading.Lock()

# A property's path ("template.containers[0].image") and what is wrong with it.
Fault = tuple[str, str]


@dataclass(frozen=True)
class Scalar:
    """A text, number or truth value; `allowed` lists an enum's values."""

    types: tuple[type, ...]
    words: str
    allowed: tuple[str, ...] = ()

    def faults(self, value: Any, path: str) -> Iterator[Fault]:
        """What is wrong with `value`."""
        if not _is_one_of(value, self.types):
            yield path, f"{_shown(value)} is {_kind_of(value)}; give {self.words}"
        elif self.allowed and value not in self.allowed:
            hint = _suggestion(str(value), self.allowed)
            yield path, f"{_shown(value)} is not allowed{hint}; give {_either(self.allowed)}"


@dataclass(frozen=True)
class Items:
    """A list."""

    item: "Shape"
    words = "a list"

    def faults(self, value: Any, path: str) -> Iterator[Fault]:
        """What is wrong with `value`."""
        if not isinstance(value, list):
            yield path, f"{_shown(value)} is {_kind_of(value)}; give a list"
            return
        for index, item in enumerate(cast("list[Any]", value)):
            yield from faults(self.item, item, f"{path}[{index}]")


@dataclass(frozen=True)
class Entries:
    """A map with keys of the program's choosing."""

    item: "Shape"
    words = "a map"

    def faults(self, value: Any, path: str) -> Iterator[Fault]:
        """What is wrong with `value`."""
        if not isinstance(value, dict):
            yield path, f"{_shown(value)} is {_kind_of(value)}; give a map"
            return
        for key, item in cast("Json", value).items():
            yield from faults(self.item, item, join(path, key))


@dataclass(frozen=True)
class Asset:
    """A file, text or archive."""

    words = "an asset"

    def faults(self, value: Any, path: str) -> Iterator[Fault]:
        """What is wrong with `value`."""
        marker = cast("Json", value).get(MARKER) if isinstance(value, dict) else None
        if marker not in ASSETS:
            yield path, f"{_shown(value)} is {_kind_of(value)}; give a pulumi.Asset or Archive"


@dataclass(frozen=True)
class Anything:
    """A value that the SDK does not describe."""

    words = "a value"

    def faults(self, value: Any, path: str) -> Iterator[Fault]:
        """Nothing is wrong with `value`."""
        del value, path
        return iter(())


@dataclass(frozen=True)
class Property:
    """One named property of a record."""

    shape: "Shape"
    required: bool


@dataclass(frozen=True)
class Record:
    """An object with named properties: one of the SDK's Args classes."""

    args: type
    words = "an object"

    @property
    def name(self) -> str:
        """What the SDK calls it, as far as a reader knows it: cloudrunv2.JobTemplate."""
        modules = self.args.__module__.split(".")
        service = modules[1] if len(modules) > 2 else modules[0].removeprefix("pulumi_")
        return f"{service}.{self.args.__name__.removesuffix('Args')}"

    @cached_property
    def properties(self) -> Mapping[str, Property]:
        """The properties by the name that they have on the wire."""
        constructor = cast("Any", self.args).__init__
        hints = typing.get_type_hints(constructor, localns={"Output": pulumi.Output, "T": Any})
        return {
            _wire_name(self.args, name): Property(
                shape=_shape(hints[name], _documentation(self.args, name)),
                required=parameter.default is inspect.Parameter.empty,
            )
            for name, parameter in list(inspect.signature(constructor).parameters.items())[1:]
        }

    def faults(self, value: Any, path: str) -> Iterator[Fault]:
        """What is wrong with `value`."""
        if not isinstance(value, dict):
            yield path, f"{_shown(value)} is {_kind_of(value)}; give a {self.name}"
            return
        given = cast("Json", value)
        for key, item in given.items():
            if key in self.properties:
                yield from faults(self.properties[key].shape, item, join(path, key))
            elif not key.startswith("__"):
                yield join(path, key), f"{self.name} has no {key!r}{self._instead(key)}"
        for key, declared in self.properties.items():
            if declared.required and given.get(key) is None:
                yield join(path, key), f"missing; {self.name} needs {declared.shape.words}"

    def _instead(self, key: str) -> str:
        hint = _suggestion(key, self.properties)
        return hint or f"; it has {', '.join(sorted(self.properties))}"


Shape = Scalar | Items | Entries | Asset | Anything | Record


@dataclass(frozen=True)
class ResourceType:
    """The inputs of one resource type, and the names of what it only gives out."""

    inputs: Record
    outputs: frozenset[str]

    def has(self, name: str) -> bool:
        """Whether it can be given `name`."""
        return name in self.inputs.properties

    def optional(self, name: str) -> bool:
        """Whether it can be given `name` and need not be."""
        return self.has(name) and not self.inputs.properties[name].required

    def faults(self, inputs: Json) -> list[Fault]:
        """All that is wrong with plain `inputs`; unknown values pass."""
        return list(self.inputs.faults(inputs, ""))


@cache
def resource_type(token: str) -> ResourceType | None:
    """The type of a token such as "gcp:cloudrunv2/job:Job", or None where no SDK has it.

    Imports the service's part of the SDK, which for compute takes seconds.
    """
    with _one_at_a_time:
        return _derived(*token.split(":"))


def _derived(package: str, module: str, name: str) -> ResourceType | None:
    parts = [
        "pulumi_" + package.replace("-", "_"),
        module.split("/", maxsplit=1)[0].replace("index", ""),
    ]
    try:
        sdk = importlib.import_module(".".join(filter(None, parts)))
        resource, args = getattr(sdk, name), getattr(sdk, name + "Args")
    except (ImportError, AttributeError):
        return None
    inputs = Record(args)
    members = cast("Json", vars(resource))
    declared = {_wire_name(resource, name) for name in members if _is_property(members[name])}
    return ResourceType(inputs, frozenset(declared - inputs.properties.keys()))


def faults(shape: Shape, value: Any, path: str) -> Iterator[Fault]:
    """What is wrong with `value` at `path`; what is absent or not known yet is not."""
    if value is None or value == UNKNOWN:
        return iter(())
    return shape.faults(value, path)


def join(path: str, key: str) -> str:
    """The path of `key` within `path`, as Pulumi writes it."""
    if not re.fullmatch(r"\w+", key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


_SCALARS = {
    str: Scalar((str,), "a text"),
    int: Scalar((int,), "a whole number"),
    float: Scalar((int, float), "a number"),
    bool: Scalar((bool,), "true or false"),
}


def _shape(hint: Any, documentation: str = "") -> Shape:
    """The shape of a type hint, such as Input[Sequence[Input['JobTemplateArgs']]]."""
    if typing.get_origin(hint) is typing.Union:
        hints = [choice for choice in typing.get_args(hint) if not _is_deferred(choice)]
        if all(choice in (pulumi.Asset, pulumi.Archive) for choice in hints):
            return Asset()
        return _shape(hints[0], documentation) if len(hints) == 1 else Anything()
    if typing.get_origin(hint) is Sequence:
        return Items(_shape(typing.get_args(hint)[0], documentation))
    if typing.get_origin(hint) is Mapping:
        return Entries(_shape(typing.get_args(hint)[1]))
    if hint is str:
        return Scalar((str,), "a text", _documented_values(documentation))
    if hint in _SCALARS:
        return _SCALARS[hint]
    if hint in (pulumi.Asset, pulumi.Archive):
        return Asset()
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return Scalar((str,), "a text", tuple(str(member.value) for member in hint))
    if inspect.isclass(hint) and hint.__name__.endswith("Args"):
        return Record(hint)
    return Anything()


def _is_deferred(hint: Any) -> bool:
    return hint is NoneType or typing.get_origin(hint) in (Awaitable, pulumi.Output)


def _documented_values(documentation: str) -> tuple[str, ...]:
    found = re.search(r"Possible values are:\s*((?:`[^`]+`[,.]?\s*)+)", documentation)
    values = tuple(re.findall(r"`([^`]+)`", found[1])) if found else ()
    # "container:<id>" is a pattern, not a value.
    return () if any("<" in value for value in values) else values


def _is_property(member: Any) -> bool:
    return isinstance(member, property)


def _wire_name(owner: type, attribute: str) -> str:
    getter = inspect.getattr_static(owner, attribute).fget
    return getattr(getter, "_pulumi_name", attribute)


def _documentation(owner: type, attribute: str) -> str:
    return inspect.getattr_static(owner, attribute).fget.__doc__ or ""


def _is_one_of(value: Any, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))


def _kind_of(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _suggestion(given: str, known: typing.Iterable[str]) -> str:
    plain = {name.replace("_", "").lower(): name for name in known}
    near = difflib.get_close_matches(given.replace("_", "").lower(), plain, n=1)
    return f"; did you mean {plain[near[0]]!r}?" if near else ""


def _either(values: Sequence[str]) -> str:
    return ", ".join(values[:-1]) + f" or {values[-1]}" if len(values) > 1 else values[0]
