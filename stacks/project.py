"""One Google Cloud project of the stack: what every other part is declared into."""

import pulumi_gcp as gcp

from stacks.component import Component
from stacks.config import Stack


class Project(Component):
    """A provider of its own, which labels all that is made with it.

    Explicit, since accounts may be spread over projects, and a default provider is one project's.
    The resources of a further project carry its id in their names in Pulumi; those of the stack's
    own project do not, so that spreading out renames nothing.
    """

    def __init__(self, stack: Stack, *, further: bool) -> None:
        prefix = f"{stack.project}-" if further else ""
        provider = gcp.Provider(
            f"{prefix}google",
            gcp.ProviderArgs(
                project=stack.project,
                region=stack.region,
                default_labels={"program": "gpt2-bots", "stack": stack.name},
            ),
        )
        super().__init__(f"{prefix}{stack.name}", provider=provider, prefix=prefix)
        self.register_outputs({})
