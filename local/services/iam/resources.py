"""Service accounts, custom roles and grants.

It cannot show the minutes that a grant takes to take effect, deny policies, keys of service
accounts, nor conditions other than on the beginning of a resource's name.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

from pydantic import BaseModel

from local.engine.handler import UNKNOWN, Failure, Json
from local.gateway.iam import FOLDERS, ROLES, Grant
from local.records import Records
from local.services.context import Context, GoogleError, short, unique_number
from local.services.handler import GoogleHandler
from local.services.iam.grants import (
    BUCKET_MEMBER,
    account_must_exist,
    account_name,
    custom_roles,
    grant_name,
    grants_of,
    members,
)
from local.services.storage.resources import MANAGED_FOLDER

_PROJECT = re.compile(r"projects/[^/]+")
_MEMBER = re.compile(
    r"(serviceAccount|user|group|domain|project(Owner|Editor|Viewer)):.|all(Authenticated)?Users$"
)
# For 7 days, Google restores a deleted role when one of its id is created. For 30 days more,
# nothing can have the id.
# Source: https://docs.cloud.google.com/iam/docs/creating-custom-roles#deleting-custom-role
_RESTORED = timedelta(days=7)
_BLOCKED = timedelta(days=37)


class Account(GoogleHandler):
    """A service account."""

    replace_on: ClassVar = frozenset({"accountId", "project"})
    formats: ClassVar = {
        "accountId": (
            r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])",
            "6 to 30 lower-case letters, digits and hyphens",
        )
    }

    def computed(self, inputs: Json) -> Json:
        """Returns what follows from project and account id."""
        email = f"{inputs['accountId']}@{inputs['project']}.iam.gserviceaccount.com"
        return {
            "email": email,
            "member": f"serviceAccount:{email}",
            "name": account_name(inputs["project"], email),
        }

    def create(self, _name: str, inputs: Json) -> tuple[str, Json]:
        """Records the account."""
        account = self.computed(inputs)["name"]
        return account, {"uniqueId": unique_number(account, self._context.timestamp())}


class _Deletion(BaseModel):
    """When a custom role was deleted."""

    at: datetime


class CustomRole(GoogleHandler):
    """A role of the project's own. Google blocks its id for a while after its deletion."""

    replace_on: ClassVar = frozenset({"roleId", "project"})
    full_name: ClassVar = "projects/{project}/roles/{roleId}"
    formats: ClassVar = {
        "roleId": (r"[a-zA-Z0-9_.]{3,64}", "3 to 64 letters, digits, underscores and periods")
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._deletions = Records(context.home / "deleted-roles.json", _Deletion)

    def computed(self, inputs: Json) -> Json:
        """Returns the full name, by which grants refer to it."""
        return {"name": self.full_name.format_map(inputs), "deleted": False}

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Records the role; refused while its id is blocked."""
        role, outputs = super().create(name, inputs)
        deletion = self._deletions.get(role)
        if deletion is not None:
            passed = self._context.clock.now() - deletion.at
            if _RESTORED <= passed < _BLOCKED:
                raise GoogleError(
                    f"Error 400: You can't create a role with role_id ({inputs['roleId']}) where"
                    f" there is an existing role with that role_id in a deleted state: it was"
                    f" deleted {passed.days} days ago, and its id is free after {_BLOCKED.days}"
                )
            self._deletions.remove(role)
        return role, outputs

    def delete(self, id_: str, _outputs: Json) -> None:
        """Blocks the id from now on."""
        self._deletions.put(id_, _Deletion(at=self._context.clock.now()))


class Member(GoogleHandler):
    """One member's role on one resource. Any change makes a new one."""

    replace_on: ClassVar = frozenset(
        {
            *("member", "role", "condition", "project", "location", "managedFolder"),
            *("bucket", "serviceAccountId", "secretId", "repository", "topic", "name"),
        }
    )
    additive: ClassVar = True
    physical_name: ClassVar = None

    def __init__(self, context: Context, token: str, bucket_exists: Callable[[str], bool]) -> None:
        super().__init__(context)
        self._token = token
        self._bucket_exists = bucket_exists

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Yields members that cannot exist, and a condition that is not understood here."""
        key = "member" if "member" in inputs else "members"
        for member in members(inputs):
            if not _MEMBER.match(member) and member != UNKNOWN:
                yield key, f"{member!r} has no kind: write 'serviceAccount:{member}'"
        try:
            grants_of(self._token, inputs)
        except ValueError as error:
            yield "condition", str(error)

    def computed(self, _inputs: Json) -> Json:
        """Returns an etag, as Google does."""
        return {"etag": "BwYt"}

    def create(self, _name: str, inputs: Json) -> tuple[str, Json]:
        """Records the grant; refused where account, role or resource do not exist."""
        (grant,) = grants_of(self._token, inputs)
        self._must_be_possible(grant)
        return grant_name(inputs, grant), {}

    def read(self, id_: str, outputs: Json) -> Json | None:
        """Returns what is recorded, or None where a binding has removed it."""
        return outputs if self._context.resources.get(self._token, id_) else None

    def _must_be_possible(self, grant: Grant) -> None:
        if grant.member.startswith("serviceAccount:"):
            account_must_exist(self._context, grant.member.removeprefix("serviceAccount:"))
        if grant.role not in (known := {*ROLES, *custom_roles(self._context.resources)}):
            similar = [role for role in known if short(role) == short(grant.role)]
            raise GoogleError(
                f"the role {grant.role!r} is not known to the local cloud"
                + (f"; did you mean {similar[0]!r}?" if similar else "")
            )
        self._must_exist(grant.resource)

    def _must_exist(self, resource: str) -> None:
        bucket, is_folder, folder = resource.partition(FOLDERS)
        if bucket.startswith("projects/_/buckets/"):
            if not self._bucket_exists(short(bucket)):
                raise GoogleError(f"the bucket {short(bucket)} was not found")
            if is_folder:
                self._context.declared(MANAGED_FOLDER, f"{short(bucket)}/{folder}")
        elif not _PROJECT.fullmatch(resource) and not any(
            held.id == resource for held in self._context.resources.all()
        ):
            raise GoogleError(f"{resource} was not found: declare it first")


class Binding(Member):
    """All members of one role on one bucket.

    It is authoritative: setting it removes what single members were given of the role.
    """

    replace_on: ClassVar = frozenset({"bucket", "role", "condition"})

    def create(self, _name: str, inputs: Json) -> tuple[str, Json]:
        """Sets the members. The id has the provider's form."""
        return f"b/{short(inputs['bucket'])}/{inputs['role']}", self.update("", {}, inputs)

    def update(self, _id: str, _old_outputs: Json, inputs: Json) -> Json:
        """Sets the members."""
        given = grants_of(self._token, inputs)
        for grant in given:
            self._must_be_possible(grant)
        bound = replace(given[0], member="")
        resources = self._context.resources
        for held in resources.of_type(BUCKET_MEMBER):
            (grant,) = grants_of(held.type, held.inputs)
            if replace(grant, member="") == bound:
                resources.remove(held.type, held.id)
        return {}
