"""One resource type as a configured provider sees it: its inputs completed, checked, compared.

All values here are plain JSON; secrets and the protocol are the server's business.
"""

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pulumi.runtime.proto.provider_pb2 import PropertyDiff

from local.provider.changes import changes
from local.provider.kinds import UNKNOWN, Json, Kind
from local.provider.schema import Fault, ResourceType
from local.provider.wire import mentions_unknown, settle

# Inputs that the provider's configuration gives where the program does not.
_CONFIGURED = ("project", "region", "zone")
# Beside the inputs in the state: the names of those that were made up, as the real providers do.
_MADE_UP = "__defaults"


@dataclass(frozen=True)
class Declaration:
    """A type of the SDK, the kind that realises it, and the configuration of its provider."""

    type: ResourceType
    kind: Kind
    configuration: Json

    def prepare(self, name: str, inputs: Json, old_inputs: Json) -> Json:
        """The inputs that go into the state: with a physical name and what the kind adds."""
        return self.kind.prepare(self._named(name, inputs, old_inputs))

    def _named(self, name: str, inputs: Json, old_inputs: Json) -> Json:
        key = self.kind.physical_name
        if key is None or not self.type.optional(key) or {key, f"{key}Prefix"} & inputs.keys():
            return inputs
        kept = old_inputs.get(key) if key in old_inputs.get(_MADE_UP, []) else None
        return {**inputs, key: kept or f"{name}-{secrets.token_hex(4)[:7]}", _MADE_UP: [key]}

    def mistyped(self, inputs: Json) -> list[Fault]:
        """What the SDK's types forbid in what the program gives."""
        return [fault for fault in self.type.faults(inputs) if fault[0] not in self.kind.added]

    def refused(self, inputs: Json) -> list[Fault]:
        """What provider and kind find wrong with prepared inputs of the right types."""
        complete = self.complete(inputs)
        if self.type.has("project") and not complete.get("project"):
            return [
                ("project", "missing; give it here, or to all by `pulumi config set gcp:project`")
            ]
        return [
            (path, reason)
            for path, reason in self.kind.check(complete)
            if not mentions_unknown([_at(complete, path), reason])
        ]

    def complete(self, inputs: Json) -> Json:
        """What the kind is given: prepared inputs and what the configuration adds."""
        configured = {
            key: self.configuration[key]
            for key in _CONFIGURED
            if key in self.configuration and self.type.has(key)
        }
        complete = {**configured, **inputs}
        complete.pop(_MADE_UP, None)
        if labels := self._labels(inputs):
            complete["labels"] = labels
        return complete

    def _labels(self, inputs: Json) -> Any:
        given = inputs.get("labels", {})
        if "effectiveLabels" not in self.type.outputs or given == UNKNOWN:
            return given
        return {**self.configuration.get("defaultLabels", {}), **given}

    def outputs(self, inputs: Json, made: Json, kept: Json | None = None) -> Json:
        """All outputs: what is kept of old ones, inputs, what follows from them, what was made."""
        complete = self.complete(inputs)
        outputs = {**(kept or {}), **complete, **self.kind.computed(complete), **made}
        if "effectiveLabels" in self.type.outputs:
            labels = self._labels(inputs)
            outputs.update(effectiveLabels=labels, pulumiLabels=labels)
            outputs["labels"] = inputs.get("labels")
        return {key: value for key, value in outputs.items() if value is not None}

    def foreseen(self, inputs: Json) -> Json:
        """The outputs in the preview of a creation."""
        return settle({**dict.fromkeys(self.type.outputs, UNKNOWN), **self.outputs(inputs, {})})

    def kept(self, old_inputs: Json, old_outputs: Json) -> Json:
        """The outputs that stay what they were when inputs change: those that were no inputs."""
        return {key: value for key, value in old_outputs.items() if key not in old_inputs}

    def diff(
        self, old_inputs: Json, old_outputs: Json, inputs: Json, ignored: Collection[str]
    ) -> dict[str, PropertyDiff]:
        """The changes by path, those of the provider's configuration included.

        Ignored inputs are what they were already: the engine has put them back.
        """
        old, new = dict(old_inputs), dict(inputs)
        if "*" not in ignored:
            for key in _CONFIGURED:
                if key in old_outputs and self.type.has(key):
                    old[key], new[key] = old_outputs[key], self.complete(inputs).get(key)
            if "labels" not in ignored and "effectiveLabels" in old_outputs:
                old["labels"], new["labels"] = old_outputs["effectiveLabels"], self._labels(inputs)
        return changes(
            old,
            new,
            replace_on=self.kind.replace_on | set(_CONFIGURED),
            insignificant=self.kind.insignificant,
        )

    def is_named_by_program(self, inputs: Json) -> bool:
        """Whether the physical name is the program's: two of it cannot exist at a time."""
        key = self.kind.physical_name
        return key in inputs and key not in inputs.get(_MADE_UP, [])


def _at(value: Any, path: str) -> Any:
    """The value at a property path, or None."""
    for key, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        try:
            value = value[key] if key else value[int(index)]
        except (KeyError, IndexError, TypeError):
            return value if value == UNKNOWN else None
    return value
