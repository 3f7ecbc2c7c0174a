"""One Google Cloud project of the stack: provider, APIs, identities, roles and project grants."""

import pulumi
import pulumi_gcp as gcp

from stacks import naming
from stacks.component import Component
from stacks.config import Stack

# The provider calls this API to read the project, also after it has enabled another API.
_RESOURCE_MANAGER = "cloudresourcemanager"


class Project(Component):
    """A Google Cloud project. Its provider declares all of its resources, and labels them.

    The provider is explicit because accounts may be spread over projects, and a default provider
    belongs to one project. In Pulumi, the names of resources of a further project contain the
    project's id. Those of the stack's own project do not, so adding a project renames nothing.
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
        self.stack = stack
        self._services: dict[str, gcp.projects.Service] = {}
        self.register_outputs({})

    def service(self, api: str) -> gcp.projects.Service:
        """Enable one of Google's APIs, such as "run", once for the project.

        `pulumi destroy` leaves it enabled, because other stacks in the project may use it.
        """
        if api not in self._services:
            needs = [] if api == _RESOURCE_MANAGER else [self.service(_RESOURCE_MANAGER)]
            self._services[api] = gcp.projects.Service(
                self.named(api),
                gcp.projects.ServiceArgs(
                    project=self.stack.project,
                    service=f"{api}.googleapis.com",
                    disable_on_destroy=False,
                ),
                self.child(*needs),
            )
        return self._services[api]

    def identity(self, role: str, purpose: str) -> gcp.serviceaccount.Account:
        """Declare a service account of a program; it belongs to no account."""
        return gcp.serviceaccount.Account(
            self.named(role),
            gcp.serviceaccount.AccountArgs(
                account_id=naming.service_account(self.stack.name, role),
                display_name=f"{self.stack.name}: {purpose}",
            ),
            self.child(self.service("iam")),
        )

    def custom_role(
        self, role: str, holder: gcp.serviceaccount.Account, purpose: str, *permissions: str
    ) -> gcp.projects.IAMCustomRole:
        """Declare a role for one identity.

        Google blocks the id of a deleted role for up to 37 days. So the id contains the unique id
        of the holder, which is never used again.
        Source: https://docs.cloud.google.com/iam/docs/creating-custom-roles#deleting-custom-role
        """
        stack = self.stack.name
        return gcp.projects.IAMCustomRole(
            self.named(role),
            gcp.projects.IAMCustomRoleArgs(
                role_id=holder.unique_id.apply(lambda id_: naming.custom_role(stack, role, id_)),
                title=f"{stack}: {purpose}",
                permissions=list(permissions),
            ),
            self.child(self.service("iam")),
        )

    def grant(
        self, name: str, role: pulumi.Input[str], member: pulumi.Input[str], *prefixes: str
    ) -> gcp.projects.IAMMember:
        """Grant `role` in the project, or only on resources whose names have one of the prefixes.

        Args:
            name: The name of the grant in Pulumi, and the title of its condition.
            role: A predefined or custom role.
            member: The member who gets the role.
            prefixes: Prefixes of full names, such as `projects/p/zones/z/instances/train-`.
        """
        condition = gcp.projects.IAMMemberConditionArgs(
            title=name,
            expression=" || ".join(f'resource.name.startsWith("{p}")' for p in prefixes),
        )
        return gcp.projects.IAMMember(
            self.named(name),
            gcp.projects.IAMMemberArgs(
                project=self.stack.project,
                role=role,
                member=member,
                condition=condition if prefixes else None,
            ),
            self.child(self.service(_RESOURCE_MANAGER)),
        )

    def grant_logging(
        self, role: str, identity: gcp.serviceaccount.Account
    ) -> gcp.projects.IAMMember:
        """Let an identity write log entries; `role` is the identity's role in the program."""
        return self.grant(f"{role}-log", "roles/logging.logWriter", identity.member)
