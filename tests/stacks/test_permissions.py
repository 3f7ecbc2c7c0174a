"""Who may do what, by the grants of the program and by the table of calls."""

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from local.gateway.iam import ROLES, Grant
from pipeline import layout
from tests.stacks import calls, deployer
from tests.stacks.granted import ACCOUNTS, PROJECT, STACK, Permissions, everything
from tests.stacks.permissions import DOCUMENT, document
from tests.stacks.recorder import ROOT, Recorder, declare

ANNA, BERT = ACCOUNTS
GET, CREATE = "storage.objects.get", "storage.objects.create"
DELETE, UPDATE = "storage.objects.delete", "storage.objects.update"


@pytest.fixture(scope="module")
def declared() -> Recorder:
    return declare(STACK, everything())


@pytest.fixture(scope="module")
def granted(declared: Recorder) -> Permissions:
    return Permissions.of(declared)


def of_account(account: str) -> dict[str, str]:
    """The objects of an account by their content, as bucket and name."""
    return {
        "tweets": f"data {layout.segments(account)}1.jsonl",
        "cursor": f"data {layout.index(account)}",
        "slot": f"data {layout.slot(account, 's')}",
        "history": f"data {layout.history(account)}",
        "release": f"models {layout.manifest(account, 't')}",
        "collected": f"data {layout.collected(account)}",
        "declared": f"data {layout.declared(account)}",
        "live": f"models {layout.live_pointer(account)}",
        "base": f"models {layout.base_pointer(account)}",
        "lease": f"models {layout.lease(account)}",
    }


SHARED = {
    "base model": f"models {layout.base_model('124M')}model",
    "run": f"models {layout.run_result('r')}",
    "run lease": f"models {layout.run_lease()}",
    "run by hand": f"data {layout.run_by_hand('first')}",
    "watcher's state": f"data {layout.watch_state()}",
    "any other object of data": "data elsewhere/o",
    "any other object of models": "models elsewhere/o",
    "a prefix without its slash": "data tweetsandmore/o",
}


def who_may(granted: Permissions, what: str, *permissions: str) -> set[str]:
    """Who has at least one of these permissions on the object."""
    bucket, _, name = what.partition(" ")
    resource = f"{granted.places(ANNA)[bucket]}/objects/{name}"
    return {
        who
        for who, permission in itertools.product(granted.members, permissions)
        if granted.may(who, permission, resource)
    }


def test_only_these_may_read_objects(granted: Permissions) -> None:
    read = {kind: who_may(granted, what, GET) for kind, what in of_account(ANNA).items()}
    read |= {kind: who_may(granted, what, GET) for kind, what in SHARED.items()}
    assert read == READERS


def test_only_these_may_write_objects(granted: Permissions) -> None:
    changes = (CREATE, DELETE, UPDATE)
    written = {kind: who_may(granted, what, *changes) for kind, what in of_account(ANNA).items()}
    written |= {kind: who_may(granted, what, *changes) for kind, what in SHARED.items()}
    assert written == WRITERS


def test_a_base_model_is_never_replaced(granted: Permissions) -> None:
    assert who_may(granted, SHARED["base model"], DELETE, UPDATE) == set()


POSTER = f"{ANNA}-post"
READERS: dict[str, set[str]] = {
    "tweets": {"scraper", "trainer", "retrain"},
    "cursor": {"scraper", "trainer", "retrain"},
    "slot": {POSTER, "scraper", "trainer", "watcher", "retrain"},
    "history": {POSTER, "scraper", "trainer", "watcher", "retrain"},
    "collected": {"scraper", "watcher"},
    "declared": {"retrain", "trainer", "watcher"},
    "release": {"trainer", "build", "api", "retrain"},
    "live": {"trainer", "build", "watcher", "api", "retrain"},
    "base": {"build", "watcher", "retrain"},
    "lease": {"trainer"},
    "base model": {"trainer"},
    "run": {"trainer", "watcher", "retrain"},
    "run lease": {"trainer", "retrain"},
    "watcher's state": {"watcher"},
    "run by hand": {"watcher"},
    "any other object of data": set(),
    "any other object of models": set(),
    "a prefix without its slash": set(),
}
WRITERS: dict[str, set[str]] = {
    "tweets": {"scraper"},
    "cursor": {"scraper"},
    "slot": {POSTER},
    "history": {POSTER},
    "collected": {"scraper"},
    "declared": set(),
    "release": {"trainer"},
    "live": {"trainer"},
    "base": set(),
    "lease": {"trainer"},
    "base model": {"trainer"},
    "run": {"trainer", "retrain"},
    "run lease": {"trainer", "retrain"},
    "watcher's state": {"watcher"},
    "run by hand": set(),
    "any other object of data": set(),
    "any other object of models": set(),
    "a prefix without its slash": set(),
}


def test_an_account_whose_name_begins_alike_is_kept_apart() -> None:
    values = everything()
    alike = {**values["gpt2-bots:accounts"][ANNA], "handle": "alike"}
    values["gpt2-bots:accounts"] = {**values["gpt2-bots:accounts"], f"{ANNA}-2": alike}
    granted = Permissions.of(declare(STACK, values))
    assert POSTER not in who_may(granted, of_account(f"{ANNA}-2")["slot"], GET, CREATE)
    assert f"{ANNA}-2-post" not in who_may(granted, of_account(ANNA)["slot"], GET, CREATE)


def test_only_who_needs_a_secret_may_read_it(granted: Permissions) -> None:
    permissions = ("secretmanager.versions.access", "secretmanager.versions.add")
    for secret, who in {"keys": {POSTER, "scraper"}, "bearer": {"scraper"}}.items():
        resource = f"{granted.places(ANNA)[secret]}/versions/latest"
        may = {w: [granted.may(w, p, resource) for p in permissions] for w in granted.members}
        assert {w: each for w, each in may.items() if any(each)} == {w: [True, False] for w in who}


def test_the_scraper_reads_no_keys_unless_the_stack_file_says_so() -> None:
    values = everything()
    for account in values["gpt2-bots:accounts"].values():
        del account["read_with"]
    granted = Permissions.of(declare(STACK, values))
    keys = f"{granted.places(ANNA)['keys']}/versions/latest"
    readers = [w for w in granted.members if granted.may(w, "secretmanager.versions.access", keys)]
    assert readers == [POSTER]


def test_only_builds_may_push_images_and_move_tags(granted: Permissions) -> None:
    def who_may(permission: str) -> set[str]:
        assert permission in ROLES["roles/artifactregistry.repoAdmin"]
        repository = granted.places("")["repository"]
        return {who for who in granted.members if granted.may(who, permission, repository)}

    for write in ("repositories.uploadArtifacts", "tags.create", "tags.update"):
        assert who_may(f"artifactregistry.{write}") == {"build"}
    assert who_may("artifactregistry.tags.delete") == set()


def test_only_scheduled_training_may_act_as_another_account_and_only_as_the_trainer(
    declared: Recorder, granted: Permissions
) -> None:
    resources = {
        r.name: f"projects/{PROJECT}/serviceAccounts/{granted.members[r.name].partition(':')[2]}"
        for r in declared.of("gcp:serviceaccount/account:Account")
    }
    pairs = {
        (who, other)
        for who, (other, resource) in itertools.product(granted.members, resources.items())
        for permission in ("iam.serviceAccounts.actAs", "iam.serviceAccounts.getAccessToken")
        if granted.may(who, permission, resource)
    }
    assert pairs == {("retrain", "trainer")} & set(itertools.product(granted.members, repeat=2))


def test_no_role_is_primitive_and_nothing_is_public(granted: Permissions) -> None:
    for grant in granted.grants:
        assert grant.role not in {"roles/owner", "roles/editor", "roles/viewer"}
        assert not grant.role.endswith(("admin", "Admin"))
        assert grant.member in granted.members.values()


def test_nothing_is_public_unless_the_stack_file_says_so(declared: Recorder) -> None:
    everybody = {"allUsers", "allAuthenticatedUsers"}
    assert not [r for r in declared.resources if r.inputs.get("member") in everybody]


def test_every_call_is_granted(granted: Permissions) -> None:
    policy = granted.policy()
    refused = [
        call
        for call in calls.of(granted)
        if not policy.allows(call.member, call.permission, call.resource)
    ]
    assert refused == []


def narrower(grant: Grant) -> list[Grant | None]:
    """The grant without each of its prefixes in turn, or None if it has fewer than two."""
    if len(grant.prefixes) < 2:
        return [None]
    terms = [f'resource.name.startsWith("{prefix}")' for prefix in grant.prefixes]
    return [
        replace(grant, condition=" || ".join(t for t in terms if t != left_out))
        for left_out in terms
    ]


def test_a_call_needs_every_grant_and_every_prefix_of_it(granted: Permissions) -> None:
    made = calls.of(granted)
    superfluous = [
        (grant, less)
        for grant in granted.grants
        for less in narrower(grant)
        if all(
            granted.policy(but=grant, instead=(less,) if less else ()).allows(
                call.member, call.permission, call.resource
            )
            for call in made
            if call.member == grant.member
        )
    ]
    assert superfluous == []


def test_no_smaller_role_would_do(granted: Permissions) -> None:
    roles = {**ROLES, **granted.custom_roles}
    too_large: list[str] = []
    for grant in granted.grants:
        without = granted.policy(but=grant)
        needed = {
            call.permission
            for call in calls.of(granted)
            if call.member == grant.member
            and not without.allows(call.member, call.permission, call.resource)
        }
        too_large += [
            f"{grant}: {role} would do"
            for role, permissions in roles.items()
            if needed <= permissions < granted.role(grant.role)
        ]
    assert too_large == []


def test_no_grant_is_made_twice(granted: Permissions) -> None:
    assert len(set(granted.grants)) == len(granted.grants)


def test_the_page_on_permissions_is_current() -> None:
    assert DOCUMENT.read_text() == document(), "run `make docs`"


def test_a_role_deploys_every_resource(declared: Recorder) -> None:
    kinds = {r.type for r in declared.providers_resources}
    assert {kind for kind in kinds if deployer.role_for(kind) is None} == set()
    assert {role for role, _ in deployer.ROLES} == {deployer.role_for(kind) for kind in kinds}


def test_the_page_names_the_role_for_alerts_on_log_entries(
    declared: Recorder,
) -> None:
    policies = declared.of("gcp:monitoring/alertPolicy:AlertPolicy")
    assert any("conditionMatchedLog" in str(policy.inputs) for policy in policies)
    assert f"| {deployer.FILTERS_LOGS} |" in DOCUMENT.read_text()


def test_the_reference_names_the_policy_that_may_forbid_a_key() -> None:
    told = (ROOT / "docs/configuration.md").read_text()
    permissions = DOCUMENT.read_text()
    for policy in ("iam.allowedPolicyMemberDomains", "compute.vmExternalIpAccess"):
        assert policy in told
        assert policy in permissions


def test_the_deployers_roles_exist(shared_data: Path) -> None:
    published = json.loads((shared_data / "gcp" / "roles.json").read_text())["names"]
    for role in (*(role for role, _ in deployer.ROLES), deployer.ACTS_AS, deployer.FILTERS_LOGS):
        assert role.removeprefix("roles/") in published


def test_the_deployer_acts_as_every_service_account_of_a_resource(
    declared: Recorder, granted: Permissions
) -> None:
    accounts = {r.name for r in declared.of("gcp:serviceaccount/account:Account")}
    assert set(deployer.acts_as(declared)) == accounts
    assert re.search("serviceAccountUser", DOCUMENT.read_text())
