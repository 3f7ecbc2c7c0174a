"""Declares one stack of tweet bots on Google Cloud, as its stack file asks."""

import asyncio
from typing import TYPE_CHECKING

import pulumi

from pipeline.errors import UserError
from stacks import stack_file
from stacks.account import Account
from stacks.config import Stack
from stacks.foundation import Foundation
from stacks.images import Images
from stacks.project import Project
from stacks.release import Release
from stacks.scraper import Scraper
from stacks.watcher import Watcher

if TYPE_CHECKING:
    from stacks.monitoring import Monitoring


async def main() -> pulumi.Inputs:
    """Declare everything, project by project; what comes back are the stack's outputs."""
    try:
        stack = stack_file.from_engine(pulumi.get_stack(), pulumi.runtime.get_config_env())
    except UserError as error:
        raise pulumi.RunError(str(error)) from None

    first, *further = stack.by_project()
    foundation, monitoring = await declare(first, Project(first, further=False))
    for part in further:
        await declare(part, Project(part, further=True))
    if monitoring is not None:
        monitoring.budget([first.project, *(part.project for part in further)])

    return {
        "data_bucket": foundation.data.name,
        "models_bucket": foundation.models.name,
        "registry": foundation.registry.url,
    }


async def declare(stack: Stack, project: Project) -> "tuple[Foundation, Monitoring | None]":
    """One project's share of the stack, in the order in which one part stands on another."""
    foundation = Foundation(stack, project)
    images = Images(foundation)
    release = Release(foundation, images)
    scraper = Scraper(foundation)
    Watcher(foundation, images, release)
    for name, bot in stack.accounts.items():
        Account(name, bot, foundation, scraper, images, release)
        # The SDK sends what is declared when the program yields. Where it yields at its end alone,
        # the SDK's wait for it all takes time with the square of the accounts.
        await asyncio.sleep(0)
    # Imported where declared, with what they need of the SDK: Compute's module takes seconds.
    served = {name: bot.serve for name, bot in stack.accounts.items() if bot.serve is not None}
    if served:
        from stacks.serving import Serving

        Serving(served, foundation, images)
    if stack.training is not None:
        from stacks.training import Training

        Training(stack.training, foundation, images, release)
    if stack.monitoring is None:
        return foundation, None
    from stacks.monitoring import Monitoring

    return foundation, Monitoring(stack.monitoring, foundation, release)


pulumi.run(main)
