"""The image repository of a project, and who may read it or push to it."""

from typing import Literal

import pulumi_gcp as gcp

from pipeline import layout
from stacks import cleanup
from stacks.component import Component
from stacks.project import Project


class Registry(Component):
    """Holds the program images, and one image per account and release.

    Attributes:
        repository: The Artifact Registry repository.
        host: The host of the registry.
        url: The prefix of its images' names: host, project and repository.
    """

    def __init__(self, project: Project) -> None:
        super().__init__(project.named("registry"), project)
        stack = project.stack
        self._location = stack.region
        self.repository = gcp.artifactregistry.Repository(
            self.named("registry"),
            gcp.artifactregistry.RepositoryArgs(
                repository_id=layout.repository(stack.name),
                location=stack.region,
                format="DOCKER",
                description="The program images, and one image per account and release",
                cleanup_policies=cleanup.policies(stack),
                cleanup_policy_dry_run=False,
            ),
            self.child(project.service("artifactregistry")),
        )
        self.host = f"{stack.region}-docker.pkg.dev"
        self.url = f"{self.host}/{stack.project}/{layout.repository(stack.name)}"
        self.register_outputs({})

    def grant(
        self, name: str, identity: gcp.serviceaccount.Account, access: Literal["reader", "writer"]
    ) -> gcp.artifactregistry.RepositoryIamMember:
        """Let an identity read images, or also push them and move tags ("writer")."""
        return gcp.artifactregistry.RepositoryIamMember(
            self.named(name),
            gcp.artifactregistry.RepositoryIamMemberArgs(
                repository=self.repository.repository_id,
                location=self._location,
                role=f"roles/artifactregistry.{access}",
                member=identity.member,
            ),
            self.child(),
        )
