"""Service accounts, custom roles and grants: what `local.iam.Policy` decides on."""

import re
from collections.abc import Callable, Mapping
from typing import ClassVar

from local.iam import ROLES, Grant
from local.provider.kinds import Json, Kind
from local.resources import ResourceStore
from local.services.world import GoogleError, World, section, short, unique_number

ACCOUNT = "gcp:serviceaccount/account:Account"
CUSTOM_ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole"

# The full name of the resource that a grant is on, by the type of the grant.
GRANTED_ON: Mapping[str, Callable[[Json], str]] = {
    "gcp:projects/iAMMember:IAMMember": lambda i: f"projects/{short(i['project'])}",
    "gcp:storage/bucketIAMMember:BucketIAMMember": lambda i: (
        f"projects/_/buckets/{short(i['bucket'])}"
    ),
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
_ALWAYS_THERE = re.compile(r"projects/[^/]+|projects/_/buckets/.*")


def grants(resources: ResourceStore) -> dict[str, Grant]:
    """All grants that are declared, by the id of what declares them."""
    return {
        resource.id: grant_of(resource.type, resource.inputs)
        for resource in resources.all()
        if resource.type in GRANTED_ON
    }


def custom_roles(resources: ResourceStore) -> dict[str, frozenset[str]]:
    """The permissions of every custom role that is declared, by its full name."""
    return {
        role.id: frozenset(role.inputs["permissions"]) for role in resources.of_type(CUSTOM_ROLE)
    }


def kinds(world: World) -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {
        ACCOUNT: Account(world),
        CUSTOM_ROLE: CustomRole(),
        **{token: Member(world, token) for token in GRANTED_ON},
    }


def must_exist(world: World, email: str) -> None:
    """GoogleError if `email` is of this project's service accounts and none of them is it."""
    here = email.endswith(f"@{world.project}.iam.gserviceaccount.com")
    if here and world.resources.get(ACCOUNT, _account_name(world.project, email)) is None:
        raise GoogleError(f"Service account {email} does not exist: declare it first")


def _account_name(project: str, email: str) -> str:
    return f"projects/{project}/serviceAccounts/{email}"


def grant_of(token: str, inputs: Json) -> Grant:
    """The grant that a resource of this type declares; ValueError for a strange condition."""
    return Grant(
        member=inputs["member"],
        role=inputs["role"],
        resource=GRANTED_ON[token](inputs),
        condition=section(inputs, "condition").get("expression", ""),
    )


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


class CustomRole(Kind):
    """A role of the project's own."""

    replace_on: ClassVar = frozenset({"roleId", "project"})

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """Role ids take no hyphen."""
        given = inputs["roleId"]
        if re.fullmatch(r"[a-zA-Z0-9_.]{3,64}", given):
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
        return self.computed(inputs)["name"], {}


class Member(Kind):
    """One member's role on one resource; any change makes a new one."""

    replace_on: ClassVar = frozenset(
        {
            *("member", "role", "condition", "project", "location"),
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
        wrong: list[tuple[str, str]] = []
        if not re.match(
            r"(serviceAccount|user|group|domain):.|all(Authenticated)?Users$", inputs["member"]
        ):
            wrong.append(
                (
                    "member",
                    f"{inputs['member']!r} has no kind: write 'serviceAccount:{inputs['member']}'",
                )
            )
        try:
            grant_of(self._token, inputs)
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
        grant = grant_of(self._token, inputs)
        if grant.member.startswith("serviceAccount:"):
            must_exist(self._world, grant.member.removeprefix("serviceAccount:"))
        if grant.role not in (known := {*ROLES, *custom_roles(self._world.resources)}):
            similar = [role for role in known if short(role) == short(grant.role)]
            raise GoogleError(
                f"the role {grant.role!r} is not known to the local cloud"
                + (f"; did you mean {similar[0]!r}?" if similar else "")
            )
        self._must_be_there(grant.resource)
        title = section(inputs, "condition").get("title")
        return "/".join([grant.resource, grant.role, grant.member, *filter(None, [title])]), {}

    def _must_be_there(self, resource: str) -> None:
        if resource.startswith("projects/_/buckets/"):
            if not self._world.storage.exists(short(resource)):
                raise GoogleError(f"the bucket {short(resource)} was not found")
        elif not _ALWAYS_THERE.fullmatch(resource) and not any(
            held.id == resource for held in self._world.resources.all()
        ):
            raise GoogleError(f"{resource} was not found: declare it first")
