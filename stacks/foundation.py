"""What every part stands on: Google's services, the two buckets, the registry, the lister role."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from pipeline import layout
from stacks import naming
from stacks.bucket import Bucket
from stacks.component import Component
from stacks.config import Stack

_SERVICES = (
    "artifactregistry",
    "cloudbuild",
    "cloudscheduler",
    "compute",
    "iam",
    "logging",
    "pubsub",
    "run",
    "secretmanager",
    "storage",
)


@dataclass(frozen=True)
class Registry:
    """The image repository, and where it answers."""

    repository: gcp.artifactregistry.Repository
    host: str
    url: pulumi.Output[str]


class Foundation(Component):
    """Services, buckets and registry of one stack."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack.name)
        self.stack = stack
        self.services = {name: self._service(name) for name in _SERVICES}
        lister = self._lister_role()
        self.data = self._bucket("data", layout.data_bucket(stack.project, stack.name), lister)
        self.models = self._bucket(
            "models", layout.models_bucket(stack.project, stack.name), lister
        )
        self.registry = self._registry()
        self.scheduler = self.identity("scheduler", "starts the jobs on their schedules")
        self.register_outputs({})

    def identity(self, role: str, what_for: str) -> gcp.serviceaccount.Account:
        """A service account of the stack's own."""
        return gcp.serviceaccount.Account(
            role,
            gcp.serviceaccount.AccountArgs(
                account_id=naming.service_account(self.stack.name, role),
                display_name=f"{self.stack.name}: {what_for}",
            ),
            self.child(self.services["iam"]),
        )

    def _service(self, name: str) -> gcp.projects.Service:
        return gcp.projects.Service(
            name,
            gcp.projects.ServiceArgs(
                # Named, since what is enabled is enabled for all stacks of the project.
                project=self.stack.project,
                service=f"{name}.googleapis.com",
                disable_on_destroy=False,
            ),
            self.child(),
        )

    def _lister_role(self) -> gcp.projects.IAMCustomRole:
        """May list names and nothing else.

        Cloud Storage answers 403 in place of 404 for an absent object to a caller who may not
        list its bucket; names hold nothing private.
        """
        return gcp.projects.IAMCustomRole(
            "object-lister",
            gcp.projects.IAMCustomRoleArgs(
                role_id=naming.custom_role(self.stack.name, "object-lister"),
                title=f"{self.stack.name}: lists the names of objects",
                permissions=["storage.objects.list"],
            ),
            self.child(self.services["iam"]),
        )

    def _bucket(self, role: str, name: str, lister: gcp.projects.IAMCustomRole) -> Bucket:
        return Bucket(
            role,
            self,
            name=name,
            location=self.stack.region,
            throw_away=self.stack.throw_away,
            lister=lister,
            needs=self.services["storage"],
        )

    def _registry(self) -> Registry:
        repository = gcp.artifactregistry.Repository(
            "registry",
            gcp.artifactregistry.RepositoryArgs(
                repository_id=naming.repository(self.stack.name),
                location=self.stack.region,
                format="DOCKER",
                description="The program images, and one image per account and release",
            ),
            self.child(self.services["artifactregistry"]),
        )
        host = f"{self.stack.region}-docker.pkg.dev"
        url = pulumi.Output.concat(host, "/", self.stack.project, "/", repository.repository_id)
        return Registry(repository, host, url)
