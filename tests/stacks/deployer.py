"""The predefined roles that a person needs to run `pulumi up`, by the types of the resources."""

from collections.abc import Callable, Iterator

from pydantic import JsonValue

from tests.stacks.granted import IDENTITY
from tests.stacks.recorder import Recorder

ACTS_AS = "roles/iam.serviceAccountUser"
# Alert policies on log entries need it in addition to the role for alert policies.
# Source: https://cloud.google.com/logging/docs/alerting/log-based-alerts (2026-11)
FILTERS_LOGS = "roles/logging.configWriter"
# Constraints that an organisation may have set, what they forbid, and what to do.
# Source (2026-11):
# https://cloud.google.com/resource-manager/docs/organization-policy/org-policy-constraints
POLICIES = (
    ("iam.allowedPolicyMemberDomains", "`serve.public: true` (`allUsers`)", "leave it out"),
    ("run.allowedIngress", "`serve`, which the internet can reach", "leave `serve` out"),
    ("compute.vmExternalIpAccess", "`training.public_address: true`", "set `false`"),
    (
        "compute.restrictCloudNATUsage",
        "`training.public_address: false`",
        "have the subnetwork allowed, or set `true`",
    ),
    ("compute.trustedImageProjects", "training machines", "have `cos-cloud` allowed"),
    ("gcp.resourceLocations", "everything", "use a `gcp:region` that is allowed"),
    ("iam.disableServiceAccountCreation", "everything", "have the project excepted"),
    (
        "storage.softDeletePolicySeconds",
        "`keep.tweets_days`, `keep.models_days`",
        "use the days that it requires",
    ),
)
# Each role can create the types with one of these prefixes. The first role that fits counts. The
# budget's role is granted on the billing account, all others on the project.
ROLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("roles/resourcemanager.projectIamAdmin", ("gcp:projects/iAMMember:",)),
    ("roles/iam.roleAdmin", ("gcp:projects/iAMCustomRole:",)),
    ("roles/serviceusage.serviceUsageAdmin", ("gcp:projects/service:",)),
    ("roles/iam.serviceAccountAdmin", ("gcp:serviceaccount/",)),
    ("roles/storage.admin", ("gcp:storage/",)),
    ("roles/artifactregistry.admin", ("gcp:artifactregistry/", "docker:", "docker-build:")),
    ("roles/secretmanager.admin", ("gcp:secretmanager/",)),
    ("roles/run.admin", ("gcp:cloudrunv2/",)),
    ("roles/cloudscheduler.admin", ("gcp:cloudscheduler/",)),
    ("roles/pubsub.admin", ("gcp:pubsub/",)),
    ("roles/cloudbuild.builds.editor", ("gcp:cloudbuild/",)),
    ("roles/monitoring.editor", ("gcp:monitoring/",)),
    ("roles/billing.costsManager", ("gcp:billing/",)),
    ("roles/compute.instanceAdmin.v1", ("gcp:compute/instance",)),
    (
        "roles/compute.networkAdmin",
        ("gcp:compute/network:", "gcp:compute/router", "gcp:compute/subnetwork:"),
    ),
)


def role_for(kind: str) -> str | None:
    """The role that can create resources of this type."""
    fitting = (role for role, kinds in ROLES if kind.startswith(kinds))
    return next(fitting, None)


def acts_as(declared: Recorder) -> dict[str, list[str]]:
    """The service accounts that resources run as, each with the types of those resources."""
    # A resource names them by e-mail address, or by id, which the mocks derive from the name.
    identities = {
        known: r.name
        for r in declared.of(IDENTITY)
        for known in (
            f"{r.inputs['accountId']}@{declared.project}.iam.gserviceaccount.com",
            f"{r.name}-id",
        )
    }
    found: dict[str, set[str]] = {}
    for resource in declared.of_google:
        if "member" in resource.inputs:
            continue
        for text in _texts(dict(resource.inputs)):
            name = identities.get(text.rpartition("/")[2])
            if name:
                found.setdefault(name, set()).add(resource.type.rpartition(":")[2])
    return {name: sorted(found[name]) for name in sorted(found)}


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def document(declared: Recorder, name: Callable[[str], str]) -> Iterator[str]:
    """The part of docs/permissions.md on deploying; `name` replaces the names of accounts."""
    kinds: dict[str, list[str]] = {}
    for kind in sorted({r.type for r in declared.providers_resources}):
        kinds.setdefault(role_for(kind) or "?", []).append(kind.rpartition(":")[2])
    yield "## Who runs `pulumi up`"
    yield ""
    yield (
        "The project's owner needs nothing else. Anybody else needs these roles on the project, and"
        " the budget's role on the billing account:"
    )
    yield ""
    yield "| role | for |"
    yield "| --- | --- |"
    for role, _ in ROLES:
        if role in kinds:
            yield f"| {role} | {', '.join(kinds[role])} |"
    users = dict.fromkeys(
        name(f"{who} ({', '.join(kinds)})") for who, kinds in acts_as(declared).items()
    )
    yield f"| {FILTERS_LOGS} | AlertPolicy on log entries |"
    yield f"| {ACTS_AS} | acting as the accounts that resources run as: {'; '.join(users)} |"
    yield ""
    yield "## What an organisation may forbid"
    yield ""
    yield (
        "No role overrides an organisation's policy. Google's error names the constraint. These"
        " constraints concern what the program declares:"
    )
    yield ""
    yield "| constraint | forbids | what to do |"
    yield "| --- | --- | --- |"
    for constraint, forbidden, what_to_do in POLICIES:
        yield f"| `constraints/{constraint}` | {forbidden} | {what_to_do} |"
