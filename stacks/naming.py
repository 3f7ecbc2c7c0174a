"""Physical names: functions of project, stack and account, within Google's limits.

Names that the images or the operator need as well stand in `pipeline.layout`; these are the
program's own.
"""

from pipeline.layout import fit

# The repository's packages that are not an account's.
PROGRAMS = ("app", "scraper", "trainer")


def service_account(stack: str, role: str) -> str:
    """Account ids have 6 to 30 characters."""
    return fit(f"{stack}-{role}", 30)


def job(stack: str, account: str, role: str) -> str:
    """Run job names have at most 63 characters, of which Scheduler takes all."""
    return fit(f"{stack}-{account}-{role}", 63)


def repository(stack: str) -> str:
    """Artifact Registry repository ids have at most 63 characters."""
    return fit(f"{stack}-bots", 63)


def machine(stack: str, run: str) -> str:
    """The VM of a training run; Compute's names have at most 63 characters."""
    return fit(f"train-{stack}-{run}", 63)


def custom_role(stack: str, role: str) -> str:
    """Custom role ids have at most 64 letters, digits, underscores and periods."""
    return fit(f"{stack}-{role}", 64).replace("-", "_")
