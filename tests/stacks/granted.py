"""Who may do what, by the grants that the real program declares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.gateway.iam import ROLES, Grant, Policy
from local.services.iam.grants import CUSTOM_ROLE, GRANTED_ON, grants_of
from pipeline import layout
from tests.stacks.recorder import STORAGE_AGENT, Recorder, stack_values

IDENTITY = "gcp:serviceaccount/account:Account"
# The accounts of the stack with every feature on.
ACCOUNTS = ("anna", "bert")
STACK, PROJECT, REGION = "prod", "my-project", "europe-west4"


def everything() -> dict[str, Any]:
    """The configuration of a stack with every feature on."""
    account: dict[str, Any] = {
        "source": "timeline",
        "consent": "a made-up account",
        "x_terms_acknowledged": True,
        "collect": "0 4 * * *",
        "read_with": "keys",
        "post": "0 12 * * *",
        "serve": {},
    }
    values = stack_values("prod")
    training = {**values["gpt2-bots:training"], "run": "first", "schedule": "0 2 * * 0"}
    return {
        **values,
        "gcp:project": PROJECT,
        "gcp:region": REGION,
        "gpt2-bots:accounts": {name: {"handle": name, **account} for name in ACCOUNTS},
        "gpt2-bots:training": {**training, "workers": 2},
        "gpt2-bots:monitoring": {
            "emails": ["operator@example.com"],
            "budget": {"billing_account": "01ABCD-23EF45-6789AB", "amount_per_month": 50},
        },
    }


@dataclass(frozen=True)
class Permissions:
    """The grants that a stack declares.

    `members` are the service accounts by their names in Pulumi, and Google's own ones.
    """

    project: str
    stack: str
    region: str
    grants: tuple[Grant, ...]
    custom_roles: Mapping[str, frozenset[str]]
    members: Mapping[str, str]

    @classmethod
    def of(cls, declared: Recorder, stack: str = STACK, region: str = REGION) -> "Permissions":
        """The grants that a program declared for a stack of one project."""
        project = declared.project
        grants = [
            grant
            for r in declared.resources
            if r.type in GRANTED_ON
            for grant in grants_of(r.type, {"project": project, **r.inputs})
        ]
        roles = {
            f"projects/{project}/roles/{r.inputs['roleId']}": frozenset(r.inputs["permissions"])
            for r in declared.any_of(CUSTOM_ROLE)
        }
        members = {
            r.name: f"serviceAccount:{r.inputs['accountId']}@{project}.iam.gserviceaccount.com"
            for r in declared.of(IDENTITY)
        }
        # Google's own: Cloud Storage's service agent, and the viewers of the project.
        members |= {
            "storage agent": f"serviceAccount:{STORAGE_AGENT}",
            "project's viewers": f"projectViewer:{project}",
        }
        return cls(
            project,
            stack,
            region,
            tuple(grants),
            roles,
            members,
        )

    def policy(self, *, but: Grant | None = None, instead: tuple[Grant, ...] = ()) -> Policy:
        """The policy of the grants, without one of them, or with others in its place."""
        held = [*(grant for grant in self.grants if grant != but), *instead]
        return Policy(lambda: held, lambda: self.custom_roles)

    def may(self, who: str, permission: str, resource: str) -> bool:
        """Whether the identity of this name has the permission."""
        return self.policy().allows(self.members[who], permission, resource)

    def opens(self, grant: Grant, member: str, permission: str, resource: str) -> bool:
        """Whether this grant alone gives the member the permission."""
        return Policy(lambda: [grant], lambda: self.custom_roles).allows(
            member, permission, resource
        )

    def role(self, name: str) -> frozenset[str]:
        """The permissions of a role that the local cloud knows."""
        return ROLES.get(name) or self.custom_roles[name]

    def places(self, account: str) -> dict[str, str]:
        """The full names of the resources, by their placeholders in `calls`."""
        project, stack = self.project, self.stack
        here, everywhere = f"projects/{project}", "projects/_/buckets"
        regional = f"{here}/locations/{self.region}"
        return {
            "account": account,
            "project": here,
            "data": f"{everywhere}/{layout.data_bucket(project, stack)}",
            "models": f"{everywhere}/{layout.models_bucket(project, stack)}",
            "bearer": f"{here}/secrets/{layout.bearer_secret(stack)}",
            "keys": f"{here}/secrets/{layout.keys_secret(stack, account)}",
            "repository": f"{regional}/repositories/{layout.repository(stack)}",
            "collect_job": f"{regional}/jobs/{layout.job(stack, account, 'collect')}",
            "post_job": f"{regional}/jobs/{layout.job(stack, account, 'post')}",
            "retrain_job": f"{regional}/jobs/{layout.retrain_job(stack)}",
            "zone": f"{here}/zones/{self.region}",
            "trainer": f"{here}/serviceAccounts/{self.members['trainer'].partition(':')[2]}",
            "watcher_job": f"{regional}/jobs/{layout.watcher_job(stack)}",
            "rollout": f"{here}/topics/{stack}-rollout",
        }
