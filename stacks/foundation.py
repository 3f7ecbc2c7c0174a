"""What every part stands on: Google's services, the two buckets, and the registry."""

from dataclasses import dataclass

import pulumi_gcp as gcp

from pipeline import layout
from stacks import cleanup, naming
from stacks.bucket import Bucket
from stacks.component import Component
from stacks.config import Stack
from stacks.project import Project

# The API that tells what a project is.
_FIRST = "cloudresourcemanager"


@dataclass(frozen=True)
class Registry:
    """The image repository, the host that it answers at, and what its images' names begin with."""

    repository: gcp.artifactregistry.Repository
    host: str
    url: str


class Foundation(Component):
    """Services, buckets and registry of one project of the stack."""

    def __init__(self, stack: Stack, project: Project) -> None:
        super().__init__(project.named("foundation"), project)
        self.stack = stack
        self._services: dict[str, gcp.projects.Service] = {}
        data = layout.data_bucket(stack.project, stack.name)
        self.data = self._bucket("data", data, stack.keep.tweets_days)
        models = layout.models_bucket(stack.project, stack.name)
        self.models = self._bucket("models", models, stack.keep.models_days)
        self.registry = self._registry()
        self.scheduler = self.identity("scheduler", "starts the jobs on their schedules")
        self.register_outputs({})

    def identity(self, role: str, what_for: str) -> gcp.serviceaccount.Account:
        """A service account of the stack's own."""
        return gcp.serviceaccount.Account(
            self.named(role),
            gcp.serviceaccount.AccountArgs(
                account_id=naming.service_account(self.stack.name, role),
                display_name=f"{self.stack.name}: {what_for}",
            ),
            self.child(self.service("iam")),
        )

    def may_log(self, role: str, identity: gcp.serviceaccount.Account) -> gcp.projects.IAMMember:
        """Let an identity write logs; `role` names the grant."""
        return gcp.projects.IAMMember(
            self.named(f"{role}-log"),
            gcp.projects.IAMMemberArgs(
                project=self.stack.project,
                role="roles/logging.logWriter",
                member=identity.member,
            ),
            self.child(self.service(_FIRST)),
        )

    def may_use_images(
        self, grant: str, identity: gcp.serviceaccount.Account, access: str
    ) -> gcp.artifactregistry.RepositoryIamMember:
        """Let an identity read the registry ("reader") or push to it, too ("writer")."""
        return gcp.artifactregistry.RepositoryIamMember(
            self.named(grant),
            gcp.artifactregistry.RepositoryIamMemberArgs(
                repository=self.registry.repository.repository_id,
                location=self.stack.region,
                role=f"roles/artifactregistry.{access}",
                member=identity.member,
            ),
            self.child(),
        )

    def let_list(self) -> list[gcp.storage.BucketIAMBinding]:
        """Declare who may list the buckets, once all are known who may."""
        return [self.data.let_list(), self.models.let_list()]

    def service(self, api: str) -> gcp.projects.Service:
        """One of Google's APIs, such as "run", enabled once for the project.

        It stays enabled on destroy, since other stacks of the project may stand on it. The provider
        looks the project up when it has enabled an API, so what answers that comes before all.
        """
        if api not in self._services:
            first = [self.service(_FIRST)] if api != _FIRST else []
            self._services[api] = gcp.projects.Service(
                self.named(api),
                gcp.projects.ServiceArgs(
                    project=self.stack.project,
                    service=f"{api}.googleapis.com",
                    disable_on_destroy=False,
                ),
                self.child(*first),
            )
        return self._services[api]

    def _bucket(self, role: str, name: str, keep_days: int) -> Bucket:
        return Bucket(
            role,
            self,
            name=name,
            project=self.stack.project,
            location=self.stack.region,
            keep_days=keep_days,
            throw_away=self.stack.throw_away,
            needs=self.service("storage"),
        )

    def _registry(self) -> Registry:
        repository = gcp.artifactregistry.Repository(
            self.named("registry"),
            gcp.artifactregistry.RepositoryArgs(
                repository_id=naming.repository(self.stack.name),
                location=self.stack.region,
                format="DOCKER",
                description="The program images, and one image per account and release",
                cleanup_policies=cleanup.policies(self.stack),
                cleanup_policy_dry_run=False,
            ),
            self.child(self.service("artifactregistry")),
        )
        host = f"{self.stack.region}-docker.pkg.dev"
        url = f"{host}/{self.stack.project}/{naming.repository(self.stack.name)}"
        return Registry(repository, host, url)
