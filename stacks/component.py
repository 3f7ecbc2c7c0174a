"""The base class of the components: type tokens, names, and the options of children."""

from collections.abc import Sequence

import pulumi


class Component(pulumi.ComponentResource):
    """One concept of the program; its resources are its children."""

    def __init__(
        self,
        name: str,
        part_of: "Component | None" = None,
        *,
        provider: pulumi.ProviderResource | None = None,
        prefix: str = "",
    ) -> None:
        super().__init__(
            f"gpt2-bots:stacks:{type(self).__name__}",
            name,
            opts=pulumi.ResourceOptions(
                parent=part_of, providers=[provider] if provider is not None else None
            ),
        )
        self._prefix = part_of.named("") if part_of is not None else prefix

    def named(self, name: str) -> str:
        """The name in Pulumi of a resource that each project of the stack has once."""
        return f"{self._prefix}{name}"

    def child(
        self,
        *depends_on: pulumi.Resource,
        ignore_changes: Sequence[str] = (),
        retain_on_delete: bool = False,
    ) -> pulumi.ResourceOptions:
        """The options of a child resource with an explicit physical name.

        A replacement would have the same name, so the old resource is deleted first.
        """
        return pulumi.ResourceOptions(
            parent=self,
            depends_on=list(depends_on),
            delete_before_replace=True,
            ignore_changes=list(ignore_changes),
            retain_on_delete=retain_on_delete or None,
        )
