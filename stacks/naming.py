"""Names of resources at Google that only the Pulumi program uses, within Google's limits.

Names that the other programs or the operator's command also use are in `pipeline.layout`.
"""

from pipeline.layout import fit

# Names that no account may have: packages of the registry, and identities of the program's own.
PROGRAMS = ("app", "control", "scraper", "trainer", "watcher")


def service_account(stack: str, role: str) -> str:
    """The id of a service account, which has 6 to 30 characters."""
    return fit(f"{stack}-{role}", 30)


def rollout(stack: str) -> str:
    """The topic for changed pointers, and the build trigger that receives its messages."""
    return f"{stack}-rollout"


def network(stack: str) -> str:
    """The training machines' network and its parts, which have at most 63 characters."""
    return fit(f"{stack}-training", 63)


def custom_role(stack: str, role: str, holder: str) -> str:
    """The id of a custom role, which has at most 64 letters, digits, underscores and periods.

    `holder` is the unique id, of 21 digits, of the service account that has the role.
    """
    return fit(f"{stack}-{role}", 63 - len(holder)).replace("-", "_") + f"_{holder}"
