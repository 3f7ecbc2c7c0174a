"""What a resource may be given, read from the types of Pulumi's own SDKs.

The SDKs send a dict literal as it is. A misspelt key, a wrong type or a bad enum passes them
unseen and fails at Google. Here it fails in the preview. The rule is whatever the installed version
of the SDK declares.
"""

import difflib
import importlib
import inspect
import re
import threading
import typing
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import NoneType
from typing import Any, cast

import pulumi

from local.engine.handler import UNKNOWN, Failure, Json
from local.engine.wire import ASSETS, MARKER

# The SDKs load their parts lazily, which Python 3.11 does not do safely from several threads.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Shape:
    """What a value may be.

    Attributes:
        words: What to give, such as "a text".
        types: The Python types of the value; empty for any.
        allowed: The values of an enum.
        item: The shape of each value in a list, or in a map with keys of the program's choosing.
        args: The SDK's Args class that describes an object's properties.
    """

    words: str
    types: tuple[type, ...] = ()
    allowed: tuple[str, ...] = ()
    item: "Shape | None" = None
    args: type | None = None

    def failures(self, value: Any, path: str) -> Iterator[Failure]:
        """Yields what is wrong with `value` at `path`. Absent and unknown values pass."""
        if value is None or value == UNKNOWN:
            return
        if not self._fits(value):
            yield path, f"{_shown(value)} is {_type_of(value)}; give {self.words}"
        elif self.allowed and value not in self.allowed:
            hint = _suggestion(str(value), self.allowed)
            yield path, f"{_shown(value)} is not allowed{hint}; give {_either(self.allowed)}"
        elif self.args:
            yield from self._property_failures(value, path)
        elif self.item and isinstance(value, list):
            for index, item in enumerate(cast("list[Any]", value)):
                yield from self.item.failures(item, f"{path}[{index}]")
        elif self.item:
            for key, item in cast("Json", value).items():
                yield from self.item.failures(item, join(path, key))

    def _fits(self, value: Any) -> bool:
        if self is ASSET:
            return isinstance(value, dict) and cast("Json", value).get(MARKER) in ASSETS
        if isinstance(value, bool) and bool not in self.types:
            return not self.types
        return not self.types or isinstance(value, self.types)

    def _property_failures(self, given: Json, path: str) -> Iterator[Failure]:
        assert self.args is not None
        known = properties(self.args)
        name = _name_of(self.args)
        for key, item in given.items():
            if key in known:
                yield from known[key].shape.failures(item, join(path, key))
            elif not key.startswith("__"):
                hint = _suggestion(key, known) or f"; it has {', '.join(sorted(known))}"
                yield join(path, key), f"{name} has no {key!r}{hint}"
        for key, declared in known.items():
            if declared.required and given.get(key) is None:
                yield join(path, key), f"missing; {name} needs {declared.shape.words}"


ANYTHING = Shape("a value")
ASSET = Shape("a pulumi.Asset or Archive", (dict,))
_SCALARS = {
    int: Shape("a whole number", (int,)),
    float: Shape("a number", (int, float)),
    bool: Shape("true or false", (bool,)),
    pulumi.Asset: ASSET,
    pulumi.Archive: ASSET,
}


@dataclass(frozen=True)
class Property:
    """One named property of an object."""

    shape: Shape
    required: bool


@cache
def properties(args: type) -> Mapping[str, Property]:
    """Returns the properties of one of the SDK's Args classes, by their names on the wire."""
    constructor = cast("Any", args).__init__
    hints = typing.get_type_hints(constructor, localns={"Output": pulumi.Output, "T": Any})
    return {
        _wire_name(args, name): Property(
            shape=_shape(hints[name], _documentation(args, name)),
            required=parameter.default is inspect.Parameter.empty,
        )
        for name, parameter in list(inspect.signature(constructor).parameters.items())[1:]
    }


@dataclass(frozen=True)
class ResourceType:
    """The inputs of one resource type, and the names of its further outputs."""

    inputs: Shape
    outputs: frozenset[str]

    @property
    def properties(self) -> Mapping[str, Property]:
        """The inputs by name."""
        assert self.inputs.args is not None
        return properties(self.inputs.args)

    def has(self, name: str) -> bool:
        """Tells whether `name` is an input."""
        return name in self.properties

    def optional(self, name: str) -> bool:
        """Tells whether `name` is an input that may be missing."""
        return self.has(name) and not self.properties[name].required

    def failures(self, inputs: Json) -> list[Failure]:
        """Returns all that is wrong with plain `inputs`. Unknown values pass."""
        return list(self.inputs.failures(inputs, ""))


@cache
def resource_type(token: str) -> ResourceType | None:
    """Returns the type of a token such as "gcp:cloudrunv2/job:Job"; None where no SDK has it.

    Imports the service's part of the SDK, which takes seconds for compute.
    """
    package, module, name = token.split(":")
    parts = [f"pulumi_{package.replace('-', '_')}", module.partition("/")[0].replace("index", "")]
    with _one_at_a_time:
        try:
            sdk = importlib.import_module(".".join(filter(None, parts)))
            resource, args = getattr(sdk, name), getattr(sdk, name + "Args")
        except (ImportError, AttributeError):
            return None
        members = cast("Json", vars(resource))
        declared = {
            _wire_name(resource, name)
            for name, member in members.items()
            if isinstance(member, property)
        }
        return ResourceType(_shape(args), frozenset(declared - properties(args).keys()))


def join(path: str, key: str) -> str:
    """Returns the path of `key` within `path`, as Pulumi writes it."""
    if not re.fullmatch(r"\w+", key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def _shape(hint: Any, documentation: str = "") -> Shape:
    """Returns the shape of a type hint, such as Input[Sequence[Input['JobTemplateArgs']]]."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        shapes = {_shape(a, documentation) for a in arguments if not _is_deferred(a)}
        return shapes.pop() if len(shapes) == 1 else ANYTHING
    if origin is Sequence:
        return Shape("a list", (list,), item=_shape(arguments[0], documentation))
    if origin is Mapping:
        return Shape("a map", (dict,), item=_shape(arguments[1]))
    if hint is str:
        return Shape("a text", (str,), _documented_values(documentation))
    if hint in _SCALARS:
        return _SCALARS[hint]
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return Shape("a text", (str,), tuple(str(member.value) for member in hint))
    if inspect.isclass(hint) and hint.__name__.endswith("Args"):
        return Shape(f"a {_name_of(hint)}", (dict,), args=hint)
    return ANYTHING


def _is_deferred(hint: Any) -> bool:
    return hint is NoneType or typing.get_origin(hint) in (Awaitable, pulumi.Output)


def _documented_values(documentation: str) -> tuple[str, ...]:
    found = re.search(r"Possible values are:\s*((?:`[^`]+`[,.]?\s*)+)", documentation)
    values = tuple(re.findall(r"`([^`]+)`", found[1])) if found else ()
    # "container:<id>" is a pattern, not a value.
    return () if any("<" in value for value in values) else values


def _name_of(args: type) -> str:
    """Returns what a reader knows an Args class by, such as cloudrunv2.JobTemplate."""
    modules = args.__module__.split(".")
    service = modules[1] if len(modules) > 2 else modules[0].removeprefix("pulumi_")
    return f"{service}.{args.__name__.removesuffix('Args')}"


def _wire_name(owner: type, attribute: str) -> str:
    getter = inspect.getattr_static(owner, attribute).fget
    return getattr(getter, "_pulumi_name", attribute)


def _documentation(owner: type, attribute: str) -> str:
    return inspect.getattr_static(owner, attribute).fget.__doc__ or ""


def _type_of(value: Any) -> str:
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


def _suggestion(given: str, known: Iterable[str]) -> str:
    plain = {name.replace("_", "").lower(): name for name in known}
    near = difflib.get_close_matches(given.replace("_", "").lower(), plain, n=1)
    return f"; did you mean {plain[near[0]]!r}?" if near else ""


def _either(values: Sequence[str]) -> str:
    return ", ".join(values[:-1]) + f" or {values[-1]}" if len(values) > 1 else values[0]
