"""A secret whose value never passes through Pulumi."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from stacks.component import Component
from stacks.project import Project


class Secret:
    """A secret. Its values never pass through Pulumi.

    Only `bots credentials` adds versions. If the program declared one and replaced it later, that
    would be the newest version and hide the operator's.
    """

    def __init__(self, name: str, part_of: Component, project: Project, secret_id: str) -> None:
        """Declare the secret as a child of `part_of`."""
        self._secret = gcp.secretmanager.Secret(
            name,
            gcp.secretmanager.SecretArgs(
                secret_id=secret_id,
                replication=gcp.secretmanager.SecretReplicationArgs(
                    auto=gcp.secretmanager.SecretReplicationAutoArgs()
                ),
                deletion_protection=False,
            ),
            part_of.child(project.service("secretmanager")),
        )

    def readable_by(
        self, identity: gcp.serviceaccount.Account, name: str, part_of: Component
    ) -> "ReadableSecret":
        """Declare the grant that lets an identity read it, as a child of `part_of`."""
        grant = gcp.secretmanager.SecretIamMember(
            name,
            gcp.secretmanager.SecretIamMemberArgs(
                secret_id=self._secret.secret_id,
                role="roles/secretmanager.secretAccessor",
                member=identity.member,
            ),
            part_of.child(),
        )
        return ReadableSecret(self._secret.id, grant)


@dataclass(frozen=True)
class ReadableSecret:
    """A secret's full name, and the grant that lets one identity read it."""

    id: pulumi.Output[str]
    grant: gcp.secretmanager.SecretIamMember
