"""Writes tests/stacks/inventories/: what each stack declares, so that a review sees each change.

`python -m tests.stacks.inventories` writes them all; so does `make docs`. Each stack is declared as
its stack file says, with a training run by hand added, so that the machines are in it as well. A
further one, `everything`, has every key set.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import JsonValue

from tests.stacks.environments import ENVIRONMENTS, environment, stack_of
from tests.stacks.recorder import ROOT, Declared, declare
from tests.stacks.rules import plain

FOLDER = ROOT / "tests/stacks/inventories"
# Texts that are files of their own, whose changes are seen in a review anyway.
_SCRIPTS = {file.read_text(): file.name for file in (ROOT / "stacks/scripts").iterdir()}


class _Tagged:
    """What stands in place of a text: the document that it holds, or the file that it is."""

    def __init__(self, tag: str, value: object) -> None:
        self.tag = tag
        self.value = value


class _Dumper(yaml.SafeDumper):
    """YAML for people: texts of several lines as such, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: Any, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _represent_tagged(dumper: Any, tagged: _Tagged) -> yaml.Node:
    node = dumper.represent_data(tagged.value)
    node.tag = f"!{tagged.tag}"
    return node


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(_Tagged, _represent_tagged)


def _readable(value: JsonValue) -> Any:
    """A value with whole numbers as such, and with documents and scripts in place of their text."""
    match value:
        case dict():
            return {key: _readable(item) for key, item in value.items()}
        case list():
            return [_readable(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case str() if value in _SCRIPTS:
            return _Tagged("script", _SCRIPTS[value])
        case str() if value.startswith("#cloud-config\n"):
            return _Tagged("cloud-config", _readable(yaml.safe_load(value)))
        case str() if value.startswith("{"):
            return _Tagged("json", json.loads(value))
        case _:
            return value


def _described(resource: Declared) -> Mapping[str, Any]:
    """The inputs and options of a resource, without options that have their defaults."""
    described = {
        "parent": resource.parent,
        "delete_before_replace": resource.delete_before_replace,
        "ignore_changes": [*resource.ignore_changes],
        "retain_on_delete": resource.retain_on_delete,
        "inputs": _readable(plain(dict(resource.inputs))),
    }
    return {key: value for key, value in described.items() if value}


def inventory(name: str) -> str:
    """Every resource of one environment with all of its inputs, and the outputs, as YAML."""
    declared = declare(stack_of(name), environment(name))
    resources: dict[str, dict[str, Any]] = defaultdict(dict)
    for resource in declared.resources:
        resources[resource.type][resource.name] = _described(resource)
    # Every release of the project changes the version, and that declares nothing else.
    outputs = {**declared.outputs, "version": "VERSION"}
    document = {"outputs": outputs, "resources": dict(resources)}
    return yaml.dump(document, Dumper=_Dumper, width=100, allow_unicode=True)


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name in ENVIRONMENTS:
        (FOLDER / f"{name}.yaml").write_text(inventory(name))


if __name__ == "__main__":
    main()
