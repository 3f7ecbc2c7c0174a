"""Writes the flat twin of the program, which registers the same resources and does nothing else.

A twin is source text: SDK calls one after the other, and a loop over the accounts of each project.
It has no components, configuration models or checks. It is generated from the resources that the
real program registers under mocks, so it is never out of date. If an input is an output of a
resource, the twin refers to that output. If the program computes an input from resources (a
concatenation, JSON), the twin has one `apply` on the same resources, which returns the value.
"""

# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001  The SDK has no public names for the resources of a program.

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from unittest import mock

import pulumi
import pulumi_gcp as gcp
from pulumi import _types

from tests.stacks.recorder import declare


@dataclass(frozen=True)
class Bot:
    """The values that differ between the accounts of a benchmark."""

    name: str
    handle: str
    project: str


@dataclass(frozen=True)
class Registered:
    """One resource that the program registered; `number` counts them."""

    number: int
    resource: pulumi.CustomResource
    name: str
    inputs: Mapping[str, Any]
    options: pulumi.ResourceOptions


def twin(
    stack: str, values: Mapping[str, Any], bots: Sequence[Bot], *, yields: bool = False
) -> str:
    """The source of the flat program of a stack with these values and accounts.

    Args:
        stack: The stack's name.
        values: The stack file's values.
        bots: Its accounts.
        yields: Whether the twin yields to the SDK after each account, as the program does.
    """
    registered = _registered(stack, values)
    writer = _Writer(registered)
    packages = {type(r.resource).__module__.partition(".")[0] for r in registered}
    lines = [f"import {package}" for package in sorted({"pulumi", *packages})]
    lines += ["import asyncio", "from pulumi import ResourceOptions"]
    providers = [r for r in registered if isinstance(r.resource, pulumi.ProviderResource)]
    for provider in providers:
        project = str(provider.inputs["project"])
        mine = [bot for bot in bots if bot.project == project]
        lines += [f"async def project_{provider.number}():", "    kept = {}"]
        first: list[Registered] = []  # those of the first account
        of_accounts: list[Registered] = []
        late: list[Registered] = []
        for one in registered:
            if one is not provider and _provider(one) is not provider.resource:
                continue
            bot = next((bot for bot in mine if bot.name in one.name), None)
            if bot is not None:
                of_accounts.append(one)
                first += [one] if bot is mine[0] else []
            elif of_accounts:
                late.append(one)
            else:
                lines.append(f"    {writer.statement(one)}")
        # Resources after the accounts may refer to the resources of all accounts.
        after = [f"    {writer.statement(one, kept=of_accounts)}" for one in late]
        if first:
            listed = [(bot.name, bot.handle) for bot in mine]
            lines.append(f"    for account, handle in {listed}:")
            for one in first:
                keeping = [f"{_kept(one)} = r{one.number}"] if _kept(one) in "".join(after) else []
                for statement in (writer.statement(one), *keeping):
                    lines.append(f"        {_of_any_account(statement, mine[0])}")
            lines += ["        await asyncio.sleep(0)"] if yields else []
        lines += after
    lines += ["async def main():"]
    lines += [f"    await project_{provider.number}()" for provider in providers]
    lines += ["pulumi.run(main)"]
    return "\n".join(lines).replace("\0", "") + "\n"


def _kept(one: Registered) -> str:
    """The expression by which the twin keeps an account's resource for later resources."""
    return f"kept[{_text(f'{type(one.resource).__name__} {one.name}')}]"


def _of_any_account(statement: str, bot: Bot) -> str:
    """The statement with the account's name and handle replaced by the loop's variables."""
    parts = statement.split("\0")
    for n in range(1, len(parts), 2):
        if bot.name in parts[n] or bot.handle in parts[n]:
            escaped = parts[n].replace("{", "{{").replace("}", "}}")
            fields = escaped.replace(bot.name, "{account}").replace(bot.handle, "{handle}")
            parts[n] = f"f{fields}"
    return "".join(parts)


def _registered(stack: str, values: Mapping[str, Any]) -> list[Registered]:
    registered: list[Registered] = []
    original = pulumi.CustomResource.__init__

    def remember(
        self: pulumi.CustomResource,
        t: str,
        name: str,
        props: Any = None,
        opts: pulumi.ResourceOptions | None = None,
        *rest: Any,
        **more: Any,
    ) -> None:
        inputs = {k: v for k, v in _fields(props).items() if v is not None}
        options = opts or pulumi.ResourceOptions()
        registered.append(Registered(len(registered), self, name, inputs, options))
        original(self, t, name, props, opts, *rest, **more)

    with mock.patch.object(pulumi.CustomResource, "__init__", remember):
        declare(stack, values)
    return registered


def _fields(props: Any) -> dict[str, Any]:
    return {**cast("Mapping[str, Any]", props if isinstance(props, Mapping) else vars(props))}


def _provider(one: Registered) -> pulumi.ProviderResource | None:
    """The explicit provider of a resource, which it inherits from its component."""
    parent = one.options.parent
    package = type(one.resource).__module__.partition(".")[0].removeprefix("pulumi_")
    if parent is None:
        return None
    providers = cast("dict[str, pulumi.ProviderResource]", parent._providers)
    return providers.get(package) or providers.get("gcp")


class _Writer:
    """Writes registered resources as source. Texts are between NULs, to be found."""

    def __init__(self, registered: Sequence[Registered]) -> None:
        self._kept: dict[int, str] = {}
        self._numbers = {id(r.resource): r.number for r in registered}
        self._known = {
            id(cast("object", output)): (r.number, attribute)
            for r in registered
            for attribute, output in vars(r.resource).items()
            if isinstance(output, pulumi.Output)
        }

    def _name(self, number: int) -> str:
        return self._kept.get(number, f"r{number}")

    def statement(self, one: Registered, kept: Sequence[Registered] = ()) -> str:
        """The call that registers a resource. Resources in `kept` are no longer in variables."""
        self._kept = {other.number: _kept(other) for other in kept}
        inputs = dict(one.inputs)
        if isinstance(one.resource, gcp.Provider):
            # The SDK converts it to JSON. A program writes it as a dictionary.
            inputs["default_labels"] = json.loads(_data(inputs["default_labels"]).value)
        arguments = [f"{k}={self._value(v)}" for k, v in inputs.items()]
        call = ", ".join(
            [_text(one.name), *arguments, f"opts=ResourceOptions({self._options(one)})"]
        )
        return f"r{one.number} = {_path(type(one.resource))}({call})"

    def _options(self, one: Registered) -> str:
        options = one.options
        provider = _provider(one)
        needs = sorted({n for r in _listed(options.depends_on) for n in self._all(r)})
        parts: list[str] = []
        if provider is not None and type(one.resource).__module__.startswith("pulumi_gcp"):
            parts.append(f"provider={self._name(self._numbers[id(provider)])}")
        if needs:
            parts.append(f"depends_on=[{', '.join(map(self._name, needs))}]")
        parts += [
            f"{key}={value!r}"
            for key in ("ignore_changes", "retain_on_delete", "delete_before_replace")
            if (value := getattr(options, key))
        ]
        return ", ".join(parts)

    def _all(self, resource: pulumi.Resource) -> Iterator[int]:
        """A resource's number; for a component, the numbers of all its descendants."""
        if id(resource) in self._numbers:
            yield self._numbers[id(resource)]
        for child in resource._childResources:
            yield from self._all(child)

    def _value(self, value: Any) -> str:
        if isinstance(value, pulumi.Output):
            output = cast("pulumi.Output[Any]", value)
            if id(output) in self._known:
                number, attribute = self._known[id(output)]
                return f"{self._name(number)}.{attribute}"
            data = _data(output)
            sources_of = sorted(
                self._numbers[id(r)] for r in data.resources if id(r) in self._numbers
            )
            value = self._value(data.value)
            if not sources_of:
                return value
            sources = ", ".join(f"{self._name(number)}.id" for number in sources_of)
            # A default argument, because a closure would have the last account's value.
            return f"pulumi.Output.all({sources}).apply(lambda _, value={value}: value)"
        cls: type = type(cast("object", value))
        if _types.is_input_type(cls):
            names = _types.input_type_py_to_pulumi_names(cls)
            attributes = cast("dict[str, Any]", vars(value))
            fields = {python: attributes.get(python) for python in names}
            inner = (f"{k}={self._value(v)}" for k, v in fields.items() if v is not None)
            return f"{_path(cls)}({', '.join(inner)})"
        if isinstance(value, Mapping):
            pairs = cast("Mapping[str, Any]", value).items()
            return "{" + ", ".join(f"{_text(k)}: {self._value(v)}" for k, v in pairs) + "}"
        if isinstance(value, Sequence) and not isinstance(value, str):
            items = cast("Sequence[Any]", value)
            return f"[{', '.join(self._value(v) for v in items)}]"
        return _text(value) if isinstance(value, str) else repr(value)


def _data(output: Any) -> Any:
    """The value of an output, and the resources that it depends on."""
    return cast("asyncio.Future[Any]", vars(output)["_data"]).result()


def _text(text: str) -> str:
    return f"\0{text!r}\0"


def _listed(depends_on: Any) -> list[pulumi.Resource]:
    return list(depends_on or [])


def _path(cls: type) -> str:
    module = cls.__module__.split(".")
    inner = [part for part in module if part != "_inputs"]
    if inner[-1] != "_inputs" and not _types.is_input_type(cls):
        inner = inner[:-1]
    return ".".join([*inner, cls.__name__])
