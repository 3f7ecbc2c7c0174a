"""A secret whose value never passes through Pulumi."""

import pulumi
import pulumi_gcp as gcp

from stacks.component import Component


class Secret:
    """A secret and who may read it; `bots credentials` gives it its versions, and nobody else.

    None is declared: one that were made anew would be the newest, and shadow the operator's.
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
        self.secret = gcp.secretmanager.Secret(
            name,
            gcp.secretmanager.SecretArgs(
                secret_id=secret_id,
                replication=gcp.secretmanager.SecretReplicationArgs(
                    auto=gcp.secretmanager.SecretReplicationAutoArgs()
                ),
                deletion_protection=False,
            ),
            part_of.child(needs),
        )
        self.grant = gcp.secretmanager.SecretIamMember(
            name,
            gcp.secretmanager.SecretIamMemberArgs(
                secret_id=self.secret.secret_id,
                role="roles/secretmanager.secretAccessor",
                member=readable_by,
            ),
            part_of.child(),
        )
