"""Identity and access management of the local cloud: who may do what, by the declared grants."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from local.gateway.errors import HttpError

OPERATOR = "operator@gpt2-bots.local"
"""The e-mail address of the person at the machine, who is the project's owner."""

ALL_USERS = "allUsers"
"""Everybody, with or without credentials."""

_OBJECTS_READ = {"storage.objects.get", "storage.objects.list"}
_OBJECTS_WRITE = {"storage.objects.create", "storage.objects.delete", "storage.objects.update"}
_BUCKETS = {f"storage.buckets.{verb}" for verb in ("get", "list", "create", "update", "delete")}
_DOWNLOAD = {"artifactregistry.repositories.downloadArtifacts"}
_UPLOAD = {
    "artifactregistry.repositories.uploadArtifacts",
    "artifactregistry.tags.create",
    "artifactregistry.tags.update",
}
_INSTANCES_READ = {
    "compute.instanceTemplates.get",
    "compute.instances.get",
    "compute.instances.list",
    "compute.zoneOperations.get",
}
_INSTANCES_WRITE = {
    "compute.disks.create",
    "compute.instanceTemplates.useReadOnly",
    "compute.instances.create",
    "compute.instances.delete",
    "compute.instances.setLabels",
    "compute.instances.setMetadata",
    "compute.instances.setServiceAccount",
    "compute.subnetworks.use",
    "compute.subnetworks.useExternalIp",
}

# The permissions of each predefined role, as far as the local cloud asks for them.
# Source: https://cloud.google.com/iam/docs/roles-permissions
ROLES: Mapping[str, frozenset[str]] = {
    role: frozenset(permissions)
    for role, permissions in {
        "roles/artifactregistry.reader": _DOWNLOAD,
        "roles/artifactregistry.writer": _DOWNLOAD | _UPLOAD,
        "roles/artifactregistry.repoAdmin": _DOWNLOAD | _UPLOAD | {"artifactregistry.tags.delete"},
        "roles/compute.instanceAdmin.v1": _INSTANCES_READ | _INSTANCES_WRITE,
        "roles/compute.networkUser": {
            "compute.subnetworks.use",
            "compute.subnetworks.useExternalIp",
        },
        "roles/compute.viewer": _INSTANCES_READ,
        "roles/iam.serviceAccountUser": {"iam.serviceAccounts.actAs"},
        "roles/logging.logWriter": {"logging.logEntries.create"},
        "roles/monitoring.metricWriter": {"monitoring.timeSeries.create"},
        "roles/pubsub.publisher": {"pubsub.topics.publish"},
        "roles/run.invoker": {"run.jobs.run", "run.routes.invoke"},
        "roles/run.jobsExecutor": {"run.jobs.run"},
        "roles/run.viewer": {"run.jobs.get", "run.executions.get", "run.executions.list"},
        "roles/secretmanager.secretAccessor": {"secretmanager.versions.access"},
        "roles/secretmanager.secretVersionAdder": {"secretmanager.versions.add"},
        "roles/storage.admin": _OBJECTS_READ | _OBJECTS_WRITE | _BUCKETS,
        "roles/storage.legacyBucketReader": {"storage.buckets.get", "storage.objects.list"},
        "roles/storage.objectAdmin": _OBJECTS_READ | _OBJECTS_WRITE,
        "roles/storage.objectCreator": {"storage.objects.create"},
        "roles/storage.objectUser": _OBJECTS_READ | _OBJECTS_WRITE,
        "roles/storage.objectViewer": _OBJECTS_READ,
    }.items()
}

FOLDERS = "/managedFolders/"
"""Separates the bucket from the folder in a managed folder's full name."""

_TERM = r'resource\.name\.startsWith\("([^"]+)"\)'
_CONDITION = re.compile(rf"\s*{_TERM}(?:\s*\|\|\s*{_TERM})*\s*")


class Denied(HttpError):
    """No grant permits a call; names member, permission, resource and a role that would help."""

    def __init__(self, message: str) -> None:
        super().__init__(403, "forbidden", message, "PERMISSION_DENIED")


def member(email: str) -> str:
    """How a grant names the account with this address: `serviceAccount:…` or `user:…`."""
    return f"user:{email}" if email == OPERATOR else f"serviceAccount:{email}"


@dataclass(frozen=True)
class Grant:
    """One IAM member: `member` has `role` on `resource` and on everything below it.

    `resource` is a full name, such as `projects/_/buckets/B` or `projects/P/secrets/S`. The objects
    whose names begin with `F/` lie below the managed folder
    `projects/_/buckets/B/managedFolders/F/`. `condition` is an expression on the name of the
    requested resource; an unknown form raises ValueError, or it might grant too much or too little.
    """

    member: str
    role: str
    resource: str
    condition: str = ""

    def __post_init__(self) -> None:
        if self.condition and not _CONDITION.fullmatch(self.condition):
            raise ValueError(
                f"the condition {self.condition!r} is not understood here: "
                'write resource.name.startsWith("…"), joined by ||'
            )

    def covers(self, resource: str) -> bool:
        """Whether `resource` is the granted one or lies below it, and meets the condition."""
        return _below(resource, self.resource) and resource.startswith(self.prefixes or ("",))

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefixes of full names that the condition permits; empty without a condition."""
        return tuple(re.findall(_TERM, self.condition))


def _below(resource: str, parent: str) -> bool:
    # A bucket's full name has "_" in place of its project, and there is only one project here.
    if re.fullmatch(r"projects/[^/]+", parent) and resource.startswith("projects/_/"):
        return True
    bucket, is_folder, folder = parent.partition(FOLDERS)
    if is_folder:
        return resource.startswith((parent, f"{bucket}/objects/{folder}"))
    return resource == parent or resource.startswith(f"{parent}/")


class Policy:
    """All grants in force; reads them at each call, so what is declared now holds now."""

    def __init__(
        self,
        grants: Callable[[], Iterable[Grant]],
        custom_roles: Callable[[], Mapping[str, frozenset[str]]],
    ) -> None:
        self._grants = grants
        self._custom_roles = custom_roles

    def allows(self, member: str, permission: str, resource: str) -> bool:
        """Whether `member` has `permission` on `resource`; ValueError for an unknown role."""
        if member == f"user:{OPERATOR}":
            return True
        return any(
            grant.member in (member, ALL_USERS)
            and grant.covers(resource)
            and permission in self.permissions(grant.role)
            for grant in self._grants()
        )

    def require(self, member: str, permission: str, resource: str) -> None:
        """Raise Denied unless `member` has `permission` on `resource`."""
        if not self.allows(member, permission, resource):
            role = self._smallest_role(permission)
            raise Denied(f"{member} lacks {permission} on {resource}; {role} would grant it")

    def permissions(self, role: str) -> frozenset[str]:
        """The permissions of a predefined or custom role; ValueError for an unknown one."""
        permissions = ROLES.get(role, self._custom_roles().get(role))
        if permissions is None:
            raise ValueError(f"the role {role!r} is not known here: add it to ROLES in {__name__}")
        return permissions

    def _smallest_role(self, permission: str) -> str:
        roles = {**ROLES, **self._custom_roles()}
        fitting = [role for role in roles if permission in roles[role]]
        return min(fitting, key=lambda role: (len(roles[role]), role), default="a custom role")
