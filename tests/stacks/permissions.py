"""Writes docs/permissions.md: `python -m tests.stacks.permissions`."""

import re
from collections.abc import Callable, Iterator, Mapping

from local.gateway.iam import Grant
from tests.stacks import calls, deployer
from tests.stacks.granted import ACCOUNTS, PROJECT, STACK, Permissions, everything
from tests.stacks.recorder import ROOT, UNIQUE_ID, declare

DOCUMENT = ROOT / "docs/permissions.md"


def _table(permissions: Permissions, calls: Mapping[Grant, list[str]]) -> Iterator[str]:
    yield "# Who may do what"
    yield ""
    yield (
        "Every grant that the program makes, with the calls that need it. The stack is"
        f" `{STACK}` in the project `{PROJECT}`, with every feature on. ACCOUNT stands for each"
        " account. `tests/stacks/test_permissions.py` holds that each call is granted, that each"
        " grant is needed, and that no smaller role would do. The local cloud enforces the grants"
        " (`tests/loop/test_grants.py`)."
    )
    yield ""
    yield "Written by `make docs`. Do not edit it."
    yield ""
    yield "| service account | role | on | needed to |"
    yield "| --- | --- | --- | --- |"
    rows: dict[str, None] = {}
    for grant in sorted(permissions.grants, key=_order(permissions)):
        rows[_row(permissions, grant, calls[grant])] = None
    yield from rows
    yield ""
    yield (
        "Google's service agents have their permissions as soon as their services are enabled, so"
        " nothing grants these: Cloud Run pulls a job's image from the project's registry; Cloud"
        " Scheduler, Cloud Run and Cloud Build act as the service accounts that they are given;"
        " Cloud Build receives the topic's messages."
    )


def _order(permissions: Permissions) -> Callable[[Grant], tuple[str, str, str]]:
    who = {member: name for name, member in permissions.members.items()}
    return lambda grant: (who[grant.member], grant.resource, grant.role)


def _row(permissions: Permissions, grant: Grant, needed_to: list[str]) -> str:
    (who,) = [name for name, member in permissions.members.items() if member == grant.member]
    role = grant.role
    if role in permissions.custom_roles:
        name = role.rpartition("/")[2].replace(UNIQUE_ID, "…")
        role = f"{name} ({', '.join(sorted(permissions.role(role)))})"
    on = grant.resource.removeprefix("projects/_/").removeprefix(f"projects/{PROJECT}/")
    on = "the project" if grant.resource == f"projects/{PROJECT}" else f"`{on}`"
    if grant.prefixes:
        under = (p.removeprefix(f"{grant.resource}/objects/") for p in grant.prefixes)
        on += ", under " + ", ".join(f"`{prefix}`" for prefix in under)
    row = f"| {who} | {role} | {on} | {'; '.join(dict.fromkeys(needed_to))} |"
    return _generic(row)


def _generic(text: str) -> str:
    return re.sub(rf"\b({'|'.join(ACCOUNTS)})\b", "ACCOUNT", text)


def document() -> str:
    """The text of docs/permissions.md."""
    declared = declare(STACK, everything())
    permissions = Permissions.of(declared)
    made = calls.of(permissions)
    needed = {
        grant: [
            call.does
            for call in made
            if permissions.opens(grant, call.member, call.permission, call.resource)
        ]
        for grant in permissions.grants
    }
    return "\n".join([*_table(permissions, needed), "", *deployer.document(declared, _generic), ""])


if __name__ == "__main__":
    DOCUMENT.write_text(document())
