"""Declares one stack of tweet bots on Google Cloud, as its stack file asks."""

import pulumi

from pipeline.errors import UserError
from stacks import stack_file
from stacks.account import Account
from stacks.config import Stack
from stacks.foundation import Foundation
from stacks.images import Images
from stacks.monitoring import Monitoring
from stacks.project import Project
from stacks.release import Release
from stacks.scraper import Scraper
from stacks.serving import Serving
from stacks.watcher import Watcher


def main() -> None:
    """Declare everything, project by project."""
    try:
        stack = stack_file.from_engine(pulumi.get_stack(), pulumi.runtime.get_config_env())
    except UserError as error:
        raise pulumi.RunError(str(error)) from None

    first, *further = stack.by_project()
    foundation, monitoring = declare(first, Project(first, further=False))
    for part in further:
        declare(part, Project(part, further=True))
    if monitoring is not None:
        monitoring.budget([first.project, *(part.project for part in further)])

    pulumi.export("data_bucket", foundation.data.name)
    pulumi.export("models_bucket", foundation.models.name)
    pulumi.export("registry", foundation.registry.url)


def declare(stack: Stack, project: Project) -> tuple[Foundation, Monitoring | None]:
    """One project's share of the stack, in the order in which one part stands on another."""
    foundation = Foundation(stack, project)
    images = Images(foundation)
    release = Release(foundation)
    scraper = Scraper(foundation)
    Watcher(foundation, images, release)
    for name, bot in stack.accounts.items():
        Account(name, bot, foundation, scraper, images, release)
    served = {name: bot.serve for name, bot in stack.accounts.items() if bot.serve is not None}
    if served:
        Serving(served, foundation, images)
    if stack.training is not None:
        # Imported where a machine is declared: Compute's module takes seconds to load.
        from stacks.training import Training

        Training(stack.training, foundation, images, release)
    monitoring = stack.monitoring and Monitoring(stack.monitoring, foundation, release)
    return foundation, monitoring


main()
