"""What one type of resource does when it is declared, changed and removed."""

import secrets
from typing import Any, ClassVar

Json = dict[str, Any]

# What the engine writes, in preview, for a value that only `up` will know.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Kind:
    """The behaviour of one resource type; this one only records what it is given.

    The providers have checked inputs against the SDK's types before any method is called, hand them
    over as plain JSON (camelCase, secrets in the clear, whole numbers as int), and have added what
    the provider's configuration gives: `project`, `region` and `zone` where the type has them and
    the program does not say, and the default labels in `labels`.

    Methods are called from several threads at once. One that raises fails the operation: the first
    line of the exception is what the person at the CLI reads, so it names thing, value and mend.
    """

    # Changes of these properties ("location", "bootDisk.initializeParams") need a new resource.
    replace_on: ClassVar[frozenset[str]] = frozenset()
    # Changes of these are none ("registry.password").
    insignificant: ClassVar[frozenset[str]] = frozenset()
    # Outputs that an update changes: unknown in its preview.
    renewed: ClassVar[frozenset[str]] = frozenset()
    # Outputs that are secret whatever the inputs were; what comes from a secret input is anyway.
    secret_outputs: ClassVar[frozenset[str]] = frozenset()
    # Inputs that `prepare` adds and that the SDK does not know ("build.contextDigest").
    added: ClassVar[frozenset[str]] = frozenset()
    # The input that is made up, `<resource name>-<7 hex>`, where the SDK lets it be missing.
    physical_name: ClassVar[str | None] = "name"
    # Whether creating what exists already succeeds (an IAM member), or fails as a bucket's does.
    additive: ClassVar[bool] = False

    def prepare(self, inputs: Json, /) -> Json:
        """The inputs with what the provider adds to them in Check; kept in Pulumi's state."""
        return inputs

    def check(self, inputs: Json, /) -> list[tuple[str, str]]:
        """What is wrong beyond types: (property path, reason with the value and the mend).

        In preview, a value that is not known yet is UNKNOWN (a string, whatever its type); a
        complaint about such a property is dropped.
        """
        del inputs
        return []

    def computed(self, inputs: Json, /) -> Json:
        """The outputs that follow from the inputs alone and so are known before creation.

        A text that contains UNKNOWN becomes unknown as a whole: an f-string of inputs just works.
        """
        del inputs
        return {}

    def create(self, name: str, inputs: Json, /) -> tuple[str, Json]:
        """Make it; the id, unique in its type, and the outputs beside inputs and `computed`.

        `name` is the resource's logical name, unique only among its siblings. One that raises must
        leave nothing behind.
        """
        physical = inputs.get(self.physical_name or "")
        return physical or f"{name}-{secrets.token_hex(4)}", {}

    def update(self, id_: str, old_outputs: Json, inputs: Json, /) -> Json:
        """Change it; returns the outputs that changed beside inputs and `computed`."""
        del id_, old_outputs, inputs
        return {}

    def read(self, id_: str, outputs: Json, /) -> Json | None:
        """Its outputs as they are now, or None if it is gone."""
        del id_
        return outputs

    def delete(self, id_: str, outputs: Json, /) -> None:
        """Remove it; raises only if the real provider fails where it is gone already."""
        del id_, outputs
