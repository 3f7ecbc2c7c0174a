"""A secret whose value never passes through Pulumi."""

import pulumi
import pulumi_gcp as gcp

from stacks.component import Component

# What the programs take for "missing".
UNSET = "unset"


class Secret(Component):
    """A secret with a placeholder version, which an operator's `bots credentials` supersedes.

    The placeholder lets jobs that name the secret be created before its value exists. It is
    abandoned on deletion and never updated, so that it can never become the newest version again.
    """

    def __init__(
        self,
        name: str,
        part_of: Component,
        *,
        secret_id: str,
        readable_by: pulumi.Input[str],
        needs: pulumi.Resource,
    ) -> None:
        super().__init__(name, part_of)
        self.secret = gcp.secretmanager.Secret(
            name,
            gcp.secretmanager.SecretArgs(
                secret_id=secret_id,
                replication=gcp.secretmanager.SecretReplicationArgs(
                    auto=gcp.secretmanager.SecretReplicationAutoArgs()
                ),
                deletion_protection=False,
            ),
            self.child(needs),
        )
        self.placeholder = gcp.secretmanager.SecretVersion(
            name,
            gcp.secretmanager.SecretVersionArgs(
                secret=self.secret.id, secret_data=UNSET, deletion_policy="ABANDON"
            ),
            self.child(ignore_changes=["*"]),
        )
        self.grant = gcp.secretmanager.SecretIamMember(
            name,
            gcp.secretmanager.SecretIamMemberArgs(
                secret_id=self.secret.secret_id,
                role="roles/secretmanager.secretAccessor",
                member=readable_by,
            ),
            self.child(),
        )
        self.register_outputs({})
