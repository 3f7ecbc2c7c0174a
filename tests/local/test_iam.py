"""Who may do what in the local cloud."""

import json
from pathlib import Path

import pytest

from local.gateway.iam import OPERATOR, ROLES, Denied, Grant, Policy, member

ANNE = "serviceAccount:anne@p.iam.gserviceaccount.com"
BUCKET = "projects/_/buckets/b"
LISTER = {"projects/p/roles/lister": frozenset({"storage.objects.list"})}


def policy(*grants: Grant, roles: dict[str, frozenset[str]] = LISTER) -> Policy:
    return Policy(lambda: grants, lambda: roles)


def under(*prefixes: str) -> str:
    terms = [f'resource.name.startsWith("{BUCKET}/objects/{prefix}")' for prefix in prefixes]
    return " || ".join(terms)


def test_without_a_grant_nothing_is_allowed() -> None:
    assert not policy().allows(ANNE, "storage.objects.get", f"{BUCKET}/objects/o")


def test_a_grant_is_for_one_member_one_role_and_all_below_its_resource() -> None:
    held = policy(Grant(ANNE, "roles/storage.objectViewer", BUCKET))
    assert held.allows(ANNE, "storage.objects.get", f"{BUCKET}/objects/a/o")
    assert held.allows(ANNE, "storage.objects.list", BUCKET)
    assert not held.allows(ANNE, "storage.objects.create", f"{BUCKET}/objects/a/o")
    assert not held.allows(ANNE, "storage.objects.get", f"{BUCKET}2/objects/a/o")
    assert not held.allows(
        "serviceAccount:ben@p.iam.gserviceaccount.com", "storage.objects.get", BUCKET
    )


@pytest.mark.parametrize(
    "resource", ["projects/_/buckets/b/objects/o", "projects/p/secrets/s/versions/1", "projects/p"]
)
def test_a_grant_on_the_project_covers_all_that_is_in_it(resource: str) -> None:
    roles = {"projects/p/roles/any": frozenset({"some.permission"})}
    held = policy(Grant(ANNE, "projects/p/roles/any", "projects/p"), roles=roles)
    assert held.allows(ANNE, "some.permission", resource)
    assert not held.allows(ANNE, "some.permission", "projects/p2/secrets/s")


def test_a_condition_opens_the_prefixes_that_it_names_and_not_the_bucket() -> None:
    condition = under("a/", "c/")
    held = policy(Grant(ANNE, "roles/storage.objectViewer", BUCKET, condition))
    assert held.allows(ANNE, "storage.objects.get", f"{BUCKET}/objects/a/o")
    assert held.allows(ANNE, "storage.objects.get", f"{BUCKET}/objects/c/o")
    assert not held.allows(ANNE, "storage.objects.get", f"{BUCKET}/objects/b/o")
    assert not held.allows(ANNE, "storage.objects.list", BUCKET)


@pytest.mark.parametrize(
    "condition",
    [
        'resource.name == "b"',
        "resource.name.startsWith('a/')",
        under("a/") + " && " + under("b/"),
        under("a/") + ' || request.time < timestamp("2027-01-01T00:00:00Z")',
        "!" + under("a/"),
    ],
)
def test_a_condition_that_is_not_understood_is_refused_and_never_ignored(condition: str) -> None:
    with pytest.raises(ValueError, match="not understood"):
        Grant(ANNE, "roles/storage.objectViewer", BUCKET, condition)


def test_a_custom_role_permits_what_it_was_declared_with() -> None:
    held = policy(Grant(ANNE, "projects/p/roles/lister", BUCKET))
    assert held.allows(ANNE, "storage.objects.list", BUCKET)
    assert not held.allows(ANNE, "storage.objects.get", f"{BUCKET}/objects/o")


def test_a_role_that_is_not_known_is_an_error_and_not_a_role_without_permissions() -> None:
    held = policy(Grant(ANNE, "roles/storage.objectVeiwer", BUCKET))
    with pytest.raises(ValueError, match="objectVeiwer"):
        held.allows(ANNE, "storage.objects.get", BUCKET)


def test_a_denial_names_member_permission_resource_and_a_role_that_would_grant_it() -> None:
    with pytest.raises(Denied) as denied:
        policy().require(ANNE, "secretmanager.versions.access", "projects/p/secrets/s")
    for part in (
        ANNE,
        "secretmanager.versions.access",
        "projects/p/secrets/s",
        "roles/secretmanager.secretAccessor",
    ):
        assert part in str(denied.value)


def test_what_is_granted_is_asked_for_at_each_call() -> None:
    grants: list[Grant] = []
    held = Policy(lambda: grants, dict)
    assert not held.allows(ANNE, "storage.objects.list", BUCKET)
    grants.append(Grant(ANNE, "roles/storage.objectViewer", BUCKET))
    assert held.allows(ANNE, "storage.objects.list", BUCKET)


def test_the_person_at_the_machine_may_do_all() -> None:
    policy().require(member(OPERATOR), "storage.buckets.delete", BUCKET)


def test_roles_permit_what_google_s_of_the_same_name_do(shared_data: Path) -> None:
    published = json.loads((shared_data / "gcp" / "roles.json").read_text())
    names = published["permissions"]
    assert {role.removeprefix("roles/") for role in ROLES} <= set(published["names"])
    for role, permissions in ROLES.items():
        theirs = {names[place] for place in published["role_permissions"].get(role, [])}
        ours = permissions & set(names)
        assert ours <= theirs, role
        assert theirs - ours <= {"storage.buckets.setIamPolicy"}, role
