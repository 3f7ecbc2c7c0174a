"""Service accounts, custom roles and grants: what `local.iam.Policy` decides on."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

from pydantic import BaseModel

from local.iam import FOLDERS, ROLES, Grant
from local.provider.kinds import UNKNOWN, Json, Kind
from local.resources import ResourceStore
from local.services.records import Records
from local.services.world import GoogleError, World, items, section, short, unique_number

ACCOUNT = "gcp:serviceaccount/account:Account"
_BUCKET_MEMBER = "gcp:storage/bucketIAMMember:BucketIAMMember"
BUCKET_BINDING = "gcp:storage/bucketIAMBinding:BucketIAMBinding"
MANAGED_FOLDER = "gcp:storage/managedFolder:ManagedFolder"
CUSTOM_ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole"

# The full name of the resource that a grant is on, by the type of the grant.
GRANTED_ON: Mapping[str, Callable[[Json], str]] = {
    "gcp:projects/iAMMember:IAMMember": lambda i: f"projects/{short(i['project'])}",
    _BUCKET_MEMBER: lambda i: f"projects/_/buckets/{short(i['bucket'])}",
    "gcp:storage/managedFolderIamMember:ManagedFolderIamMember": lambda i: (
        f"projects/_/buckets/{short(i['bucket'])}/managedFolders/{i['managedFolder']}"
    ),
    BUCKET_BINDING: lambda i: f"projects/_/buckets/{short(i['bucket'])}",
    "gcp:serviceaccount/iAMMember:IAMMember": lambda i: str(i["serviceAccountId"]),
    "gcp:secretmanager/secretIamMember:SecretIamMember": lambda i: (
        f"projects/{i['project']}/secrets/{short(i['secretId'])}"
    ),
    "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember": lambda i: (
        f"projects/{i['project']}/locations/{i['location']}/repositories/{short(i['repository'])}"
    ),
    "gcp:pubsub/topicIAMMember:TopicIAMMember": lambda i: (
        f"projects/{i['project']}/topics/{short(i['topic'])}"
    ),
    "gcp:cloudrunv2/jobIamMember:JobIamMember": lambda i: (
        f"projects/{i['project']}/locations/{i['location']}/jobs/{short(i['name'])}"
    ),
    "gcp:cloudrunv2/serviceIamMember:ServiceIamMember": lambda i: (
        f"projects/{i['project']}/locations/{i['location']}/services/{short(i['name'])}"
    ),
}
# Resources that have no resource of their own in a program, or are called otherwise in their id.
_ALWAYS_THERE = re.compile(r"projects/[^/]+")
_MEMBER = re.compile(
    r"(serviceAccount|user|group|domain|project(Owner|Editor|Viewer)):.|all(Authenticated)?Users$"
)


def grants(resources: ResourceStore) -> dict[str, Grant]:
    """All grants that are declared, by their full names."""
    return {
        _name(resource.inputs, grant): grant
        for resource in resources.all()
        if resource.type in GRANTED_ON
        for grant in grants_of(resource.type, resource.inputs)
    }


def _name(inputs: Json, grant: Grant) -> str:
    title = section(inputs, "condition").get("title")
    return "/".join([grant.resource, grant.role, grant.member, *filter(None, [title])])


def custom_roles(resources: ResourceStore) -> dict[str, frozenset[str]]:
    """The permissions of every custom role that is declared, by its full name."""
    return {
        role.id: frozenset(role.inputs["permissions"]) for role in resources.of_type(CUSTOM_ROLE)
    }


def kinds(world: World) -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {
        ACCOUNT: Account(world),
        CUSTOM_ROLE: CustomRole(world),
        **{token: Member(world, token) for token in GRANTED_ON},
        BUCKET_BINDING: Binding(world, BUCKET_BINDING),
    }


def must_exist(world: World, email: str) -> None:
    """GoogleError if `email` is of this project's service accounts and none of them is it."""
    here = email.endswith(f"@{world.project}.iam.gserviceaccount.com")
    if here and world.resources.get(ACCOUNT, _account_name(world.project, email)) is None:
        raise GoogleError(f"Service account {email} does not exist: declare it first")


def _account_name(project: str, email: str) -> str:
    return f"projects/{project}/serviceAccounts/{email}"


def grants_of(token: str, inputs: Json) -> list[Grant]:
    """What a resource of this type grants; ValueError for a strange condition."""
    return [
        Grant(
            member=member,
            role=inputs["role"],
            resource=GRANTED_ON[token](inputs),
            condition=section(inputs, "condition").get("expression", ""),
        )
        for member in _members(inputs)
    ]


def _members(inputs: Json) -> list[str]:
    return [inputs["member"]] if "member" in inputs else items(inputs, "members")


class Account(Kind):
    """A service account."""

    replace_on: ClassVar = frozenset({"accountId", "project"})

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """Account ids are 6 to 30 characters."""
        given = inputs["accountId"]
        if re.fullmatch(r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])", given):
            return []
        return [("accountId", f"{given!r} is not 6 to 30 lower-case letters, digits and hyphens")]

    def computed(self, inputs: Json) -> Json:
        """All follows from project and account id."""
        email = f"{inputs['accountId']}@{inputs['project']}.iam.gserviceaccount.com"
        return {
            "email": email,
            "member": f"serviceAccount:{email}",
            "name": _account_name(inputs["project"], email),
        }

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Its id is its full name."""
        del name
        account = self.computed(inputs)["name"]
        return account, {"uniqueId": unique_number(account, self._world.timestamp())}


class _Deleted(BaseModel):
    """When a custom role was deleted."""

    at: datetime


class CustomRole(Kind):
    """A role of the project's own, whose id Google keeps for a while after its deletion.

    For 7 days a deleted role can be had back, which the provider does where one of its id is
    declared; for 30 days more nothing can bear the id.
    Source: https://docs.cloud.google.com/iam/docs/creating-custom-roles#deleting-custom-role
    """

    replace_on: ClassVar = frozenset({"roleId", "project"})
    _UNDELETED = timedelta(days=7)
    _BLOCKED = timedelta(days=37)

    def __init__(self, world: World) -> None:
        self._world = world
        self._deleted = Records(world.home / "deleted-roles.json", _Deleted)

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """Role ids take no hyphen."""
        given = inputs["roleId"]
        if given == UNKNOWN or re.fullmatch(r"[a-zA-Z0-9_.]{3,64}", given):
            return []
        return [("roleId", f"{given!r} is not 3 to 64 letters, digits, underscores and periods")]

    def computed(self, inputs: Json) -> Json:
        """The full name is what grants call it."""
        return {
            "name": f"projects/{inputs['project']}/roles/{inputs['roleId']}",
            "deleted": False,
        }

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Its id is its full name."""
        del name
        role = self.computed(inputs)["name"]
        deleted = self._deleted.get(role)
        if deleted is not None:
            gone = self._world.clock.now() - deleted.at
            if self._UNDELETED <= gone < self._BLOCKED:
                raise GoogleError(
                    f"Error 400: You can't create a role with role_id ({inputs['roleId']}) where"
                    f" there is an existing role with that role_id in a deleted state: it was"
                    f" deleted {gone.days} days ago, and its id is free after {self._BLOCKED.days}"
                )
            self._deleted.remove(role)
        return role, {}

    def delete(self, id: str, outputs: Json) -> None:  # noqa: A002
        """From now on its id is blocked."""
        del outputs
        self._deleted.put(id, _Deleted(at=self._world.clock.now()))


class Member(Kind):
    """One member's role on one resource; any change makes a new one."""

    replace_on: ClassVar = frozenset(
        {
            *("member", "role", "condition", "project", "location", "managedFolder"),
            *("bucket", "serviceAccountId", "secretId", "repository", "topic", "name"),
        }
    )
    additive: ClassVar = True
    physical_name: ClassVar = None

    def __init__(self, world: World, token: str) -> None:
        self._world = world
        self._token = token

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """A member that cannot be, and a condition that is not understood here."""
        key = "member" if "member" in inputs else "members"
        wrong = [
            (key, f"{member!r} has no kind: write 'serviceAccount:{member}'")
            for member in _members(inputs)
            if not _MEMBER.match(member) and member != UNKNOWN
        ]
        try:
            grants_of(self._token, inputs)
        except ValueError as error:
            wrong.append(("condition", str(error)))
        return wrong

    def computed(self, inputs: Json) -> Json:
        """Nothing but a tag, which programs pass back."""
        del inputs
        return {"etag": "BwYt"}

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Refused where account, role or resource are not there."""
        del name
        (grant,) = grants_of(self._token, inputs)
        self._must_be_possible(grant)
        return _name(inputs, grant), {}

    def read(self, id: str, outputs: Json) -> Json | None:  # noqa: A002
        """Gone where a binding has undone it."""
        return outputs if self._world.resources.get(self._token, id) else None

    def _must_be_possible(self, grant: Grant) -> None:
        if grant.member.startswith("serviceAccount:"):
            must_exist(self._world, grant.member.removeprefix("serviceAccount:"))
        if grant.role not in (known := {*ROLES, *custom_roles(self._world.resources)}):
            similar = [role for role in known if short(role) == short(grant.role)]
            raise GoogleError(
                f"the role {grant.role!r} is not known to the local cloud"
                + (f"; did you mean {similar[0]!r}?" if similar else "")
            )
        self._must_be_there(grant.resource)

    def _must_be_there(self, resource: str) -> None:
        bucket, is_folder, folder = resource.partition(FOLDERS)
        if bucket.startswith("projects/_/buckets/"):
            if not self._world.storage.exists(short(bucket)):
                raise GoogleError(f"the bucket {short(bucket)} was not found")
            if is_folder:
                self._world.declared(MANAGED_FOLDER, f"{short(bucket)}/{folder}")
        elif not _ALWAYS_THERE.fullmatch(resource) and not any(
            held.id == resource for held in self._world.resources.all()
        ):
            raise GoogleError(f"{resource} was not found: declare it first")


class Binding(Member):
    """All members of one role on one bucket.

    It is authoritative when it is set: what single members were given of the role is undone.
    """

    replace_on: ClassVar = frozenset({"bucket", "role", "condition"})

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Its id is of bucket and role, as the provider's."""
        del name
        return f"b/{short(inputs['bucket'])}/{inputs['role']}", self._set(inputs)

    def update(self, id: str, old_outputs: Json, inputs: Json) -> Json:  # noqa: A002
        """The members as they are now."""
        del id, old_outputs
        return self._set(inputs)

    def _set(self, inputs: Json) -> Json:
        given = grants_of(self._token, inputs)
        for grant in given:
            self._must_be_possible(grant)
        self._undo(replace(given[0], member=""))
        return {}

    def _undo(self, bound: Grant) -> None:
        resources = self._world.resources
        for held in resources.of_type(_BUCKET_MEMBER):
            (grant,) = grants_of(held.type, held.inputs)
            if replace(grant, member="") == bound:
                resources.remove(held.type, held.id)
