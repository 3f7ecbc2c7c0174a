"""A secret whose value never passes through Pulumi."""

from dataclasses import dataclass
from typing import Self

import pulumi
import pulumi_gcp as gcp

from stacks.component import Component
from stacks.project import Project


@dataclass(frozen=True)
class Secret:
    """A secret's full name, and the grant that lets one identity read it.

    Only `bots credentials` adds versions. If the program declared one and replaced it later, that
    would be the newest version and hide the operator's.
    """

    id: pulumi.Output[str]
    grant: gcp.secretmanager.SecretIamMember

    @classmethod
    def declare(
        cls,
        name: str,
        part_of: Component,
        project: Project,
        *,
        secret_id: str,
        readable_by: gcp.serviceaccount.Account,
    ) -> Self:
        """Declare the secret and the grant, both named `name`, as children of `part_of`."""
        secret = gcp.secretmanager.Secret(
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
        grant = gcp.secretmanager.SecretIamMember(
            name,
            gcp.secretmanager.SecretIamMemberArgs(
                secret_id=secret.secret_id,
                role="roles/secretmanager.secretAccessor",
                member=readable_by.member,
            ),
            part_of.child(),
        )
        return cls(secret.id, grant)
