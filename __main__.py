"""Declares one stack of tweet bots on Google Cloud, as its stack file asks."""

import asyncio
from typing import TYPE_CHECKING

import pulumi

from pipeline.errors import UserError
from stacks import stack_file, surroundings
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
    values = pulumi.runtime.get_config_env()
    try:
        stack = stack_file.from_engine(pulumi.get_stack(), values)
        surroundings.check(stack, values, preview=pulumi.runtime.is_dry_run())
    except UserError as error:
        raise pulumi.RunError(str(error)) from None

    first, *further = stack.by_project()
    foundation, monitoring = await declare(first, Project(first, further=False))
    others = [(await declare(part, Project(part, further=True)))[0] for part in further]
    if monitoring is not None:
        monitoring.budget([foundation, *others])

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
    serving = training = None
    served = {name: bot.serve for name, bot in stack.accounts.items() if bot.serve is not None}
    if served:
        from stacks.serving import Serving

        serving = Serving(served, foundation, images)
    if stack.training is not None:
        from stacks.training import Training

        training = Training(stack.training, foundation, images, release)
    # Who may list stands in one grant a bucket, which is declared once all of them are known, and
    # before those start who list at once.
    listing = foundation.let_list()
    for part in (serving, training):
        if part is not None:
            part.start(*listing)
    if stack.monitoring is None:
        return foundation, None
    from stacks.monitoring import Monitoring

    return foundation, Monitoring(stack.monitoring, foundation, release)


pulumi.run(main)
