"""Physical names: functions of project, stack and account, within Google's limits.

Names that the images or the operator need as well stand in `pipeline.layout`; these are the
program's own.
"""

from pipeline import layout
from pipeline.layout import fit

# What no account may be called: packages of the repository, and identities that all accounts share.
PROGRAMS = ("app", "control", "scraper", "trainer", "watcher")


def service_account(stack: str, role: str) -> str:
    """Account ids have 6 to 30 characters."""
    return fit(f"{stack}-{role}", 30)


def job(stack: str, account: str, role: str) -> str:
    """Run job names have at most 63 characters, of which Scheduler takes all."""
    return fit(f"{stack}-{account}-{role}", 63)


def watcher(stack: str) -> str:
    """The watcher's job; as `job`, and no account's, whose end in what they do."""
    return fit(f"{stack}-watcher", 63)


def service(stack: str, account: str) -> str:
    """The tweet API of an account; Run service names have fewer than 50 characters."""
    return fit(f"{stack}-{account}-api", 49)


def repository(stack: str) -> str:
    """Artifact Registry repository ids have at most 63 characters."""
    return fit(f"{stack}-bots", 63)


def runs(stack: str) -> str:
    """What the names of the stack's training runs start with, of which a moment makes a name."""
    return f"{fit(f'train-{stack}', 34)}-"


def machine(stack: str, run: str) -> str:
    """A training run, and its VM where it is alone; Compute's names have at most 63 characters."""
    return fit(f"{runs(stack)}{run}", 63)


def machines(stack: str, run: str, workers: int) -> list[str]:
    """The VMs that share a run; its name can be read from each of theirs."""
    added = layout.shares(workers)
    name = fit(machine(stack, run), 63 - max(map(len, added)))
    return [name + share for share in added]


def retrain(stack: str) -> str:
    """The job of scheduled training. Cannot clash with an account's: see `watcher`."""
    return fit(f"{stack}-retrain", 63)


def network(stack: str) -> str:
    """The training machines' network and its parts; Compute's names have at most 63 characters."""
    return fit(f"{stack}-training", 63)


def custom_role(stack: str, role: str, holder: str) -> str:
    """Custom role ids have at most 64 letters, digits, underscores and periods.

    `holder` is the unique id of the service account that has the role: 21 digits.
    """
    return fit(f"{stack}-{role}", 63 - len(holder)).replace("-", "_") + f"_{holder}"
