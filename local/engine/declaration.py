"""One resource type of a configured provider: its inputs are completed, checked and compared.

All values here are plain JSON. The server deals with secrets and with the protocol.
"""

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pulumi.runtime.proto.provider_pb2 import PropertyDiff

from local.engine.changes import changes
from local.engine.handler import UNKNOWN, Failure, Handler, Json
from local.engine.schema import ResourceType
from local.engine.wire import mentions_unknown, settle

# Inputs that the provider's configuration gives where the program does not.
_CONFIGURED = ("project", "region", "zone")
# The state keeps, beside the inputs, the names of those that were generated, as real providers do.
_GENERATED = "__defaults"


@dataclass(frozen=True)
class Declaration:
    """A type of the SDK, its handler, and the configuration of its provider."""

    type: ResourceType
    handler: Handler
    configuration: Json

    def prepare(self, name: str, inputs: Json, old_inputs: Json) -> Json:
        """Returns the inputs for the state: with a physical name and what the handler adds."""
        return self.handler.prepare(self._named(name, inputs, old_inputs))

    def _named(self, name: str, inputs: Json, old_inputs: Json) -> Json:
        key = self.handler.physical_name
        if key is None or not self.type.optional(key) or {key, f"{key}Prefix"} & inputs.keys():
            return inputs
        kept = old_inputs.get(key) if key in old_inputs.get(_GENERATED, []) else None
        return {**inputs, key: kept or f"{name}-{secrets.token_hex(4)[:7]}", _GENERATED: [key]}

    def mistyped(self, inputs: Json) -> list[Failure]:
        """Returns what the SDK's types forbid in the program's inputs."""
        return [wrong for wrong in self.type.failures(inputs) if wrong[0] not in self.handler.added]

    def refused(self, inputs: Json) -> list[Failure]:
        """Returns what provider and handler find wrong with prepared inputs of the right types."""
        complete = self.complete(inputs)
        if self.type.has("project") and not complete.get("project"):
            return [
                ("project", "missing; give it here, or to all by `pulumi config set gcp:project`")
            ]
        return [
            (path, reason)
            for path, reason in self.handler.check(complete)
            if not mentions_unknown([_at(complete, path), reason])
        ]

    def complete(self, inputs: Json) -> Json:
        """Returns what the handler is given: prepared inputs and the configuration's."""
        configured = {
            key: self.configuration[key]
            for key in _CONFIGURED
            if key in self.configuration and self.type.has(key)
        }
        complete = {**configured, **inputs}
        complete.pop(_GENERATED, None)
        if labels := self._labels(inputs):
            complete["labels"] = labels
        return complete

    def _labels(self, inputs: Json) -> Any:
        given = inputs.get("labels", {})
        if "effectiveLabels" not in self.type.outputs or given == UNKNOWN:
            return given
        return {**self.configuration.get("defaultLabels", {}), **given}

    def outputs(self, inputs: Json, made: Json, kept: Json | None = None) -> Json:
        """Returns all outputs: old ones that stay, inputs, what follows from them, `made`."""
        complete = self.complete(inputs)
        outputs = {**(kept or {}), **complete, **self.handler.computed(complete), **made}
        if "effectiveLabels" in self.type.outputs:
            labels = self._labels(inputs)
            outputs.update(effectiveLabels=labels, pulumiLabels=labels)
            outputs["labels"] = inputs.get("labels")
        return {key: value for key, value in outputs.items() if value is not None}

    def foreseen(self, inputs: Json) -> Json:
        """Returns the outputs in the preview of a creation."""
        return settle({**dict.fromkeys(self.type.outputs, UNKNOWN), **self.outputs(inputs, {})})

    def kept(self, old_inputs: Json, old_outputs: Json) -> Json:
        """Returns the outputs that no change of inputs touches: those that were no inputs."""
        return {key: value for key, value in old_outputs.items() if key not in old_inputs}

    def diff(
        self, old_inputs: Json, old_outputs: Json, inputs: Json, ignored: Collection[str]
    ) -> dict[str, PropertyDiff]:
        """Returns the changes by path, including those of the provider's configuration.

        Ignored inputs have their old values already: the engine has put them back.
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
            replace_on=self.handler.replace_on | set(_CONFIGURED),
            insignificant=self.handler.insignificant,
        )

    def is_named_by_program(self, inputs: Json) -> bool:
        """Tells whether the program gave the physical name. Two such cannot exist at a time."""
        key = self.handler.physical_name
        return key in inputs and key not in inputs.get(_GENERATED, [])


def _at(value: Any, path: str) -> Any:
    """Returns the value at a property path, or None."""
    for key, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        try:
            value = value[key] if key else value[int(index)]
        except (KeyError, IndexError, TypeError):
            return value if value == UNKNOWN else None
    return value
