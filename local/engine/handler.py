"""What a handler of one resource type does when a resource is declared, changed and removed."""

import secrets
from collections.abc import Iterable
from typing import Any, ClassVar

Json = dict[str, Any]

Failure = tuple[str, str]
"""A property's path ("template.containers[0].image") and what is wrong with it."""

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine sends in a preview for a value that only `up` will know."""


class Handler:
    """The behaviour of one resource type. This base class only records what it is given.

    Before any method is called, the provider has checked the inputs against the SDK's types. Inputs
    are plain JSON: camelCase, secrets in the clear, whole numbers as int. The provider's
    configuration is part of them: `project`, `region` and `zone` where the type has them and the
    program gives none, and the default labels in `labels`.

    Several threads call the methods at once. A method that raises fails the operation. The person
    at the CLI reads the first line of the exception, so it names thing, value and remedy.
    """

    # Changes of these properties ("location", "bootDisk.initializeParams") need a new resource.
    replace_on: ClassVar[frozenset[str]] = frozenset()
    # Changes of these properties ("registry.password") do not count.
    insignificant: ClassVar[frozenset[str]] = frozenset()
    # Outputs that an update changes. They are unknown in its preview.
    renewed: ClassVar[frozenset[str]] = frozenset()
    # Inputs that `prepare` adds and the SDK does not know ("build.contextDigest").
    added: ClassVar[frozenset[str]] = frozenset()
    # The input that gets a generated name, `<resource name>-<7 hex>`, where the SDK lets it be
    # missing.
    physical_name: ClassVar[str | None] = "name"
    # Whether creating what exists already succeeds (an IAM member) or fails (a bucket).
    additive: ClassVar[bool] = False

    def prepare(self, inputs: Json, /) -> Json:
        """Returns the inputs with what the provider adds in Check. Pulumi's state keeps them."""
        return inputs

    def check(self, _inputs: Json, /) -> Iterable[Failure]:
        """Returns what is wrong with the inputs beyond their types.

        In a preview, a value that is not known yet is UNKNOWN: a text, whatever the property's
        type. The provider drops a failure of such a property.
        """
        return ()

    def computed(self, _inputs: Json, /) -> Json:
        """Returns the outputs that follow from the inputs alone, and so are known in a preview.

        A text that contains UNKNOWN becomes unknown as a whole, so an f-string of inputs will do.
        """
        return {}

    def create(self, name: str, inputs: Json, /) -> tuple[str, Json]:
        """Creates the resource. One that raises must leave nothing behind.

        Args:
            name: The logical name, unique only among the resource's siblings.
            inputs: The complete inputs.

        Returns:
            The id, unique within the type, and the outputs beside inputs and `computed`.
        """
        physical = inputs.get(self.physical_name or "")
        return physical or f"{name}-{secrets.token_hex(4)}", {}

    def update(self, _id: str, _old_outputs: Json, _inputs: Json, /) -> Json:
        """Changes the resource. Returns the changed outputs beside inputs and `computed`."""
        return {}

    def read(self, _id: str, outputs: Json, /) -> Json | None:
        """Returns the outputs as they are now, or None if the resource is gone."""
        return outputs

    def delete(self, _id: str, _outputs: Json, /) -> None:
        """Removes the resource. If it is gone already, raises only where the real one fails too."""
