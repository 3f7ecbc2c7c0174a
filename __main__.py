"""Declares one stack of tweet bots on Google Cloud, as its stack file describes it."""

import asyncio
from typing import TYPE_CHECKING

import pulumi

from pipeline import __version__
from pipeline.errors import PipelineError
from stacks import stack_file, surroundings
from stacks.account import Account
from stacks.config import Stack
from stacks.project import Project
from stacks.shared import Shared
from stacks.watcher import Watcher

if TYPE_CHECKING:
    from stacks.monitoring import Monitoring


async def main() -> pulumi.Inputs:
    """Declare everything, project by project, and return the stack's outputs."""
    values = pulumi.runtime.get_config_env()
    try:
        stack = stack_file.from_engine(pulumi.get_stack(), values)
        surroundings.check(stack, values, preview=pulumi.runtime.is_dry_run())
    except PipelineError as error:
        raise pulumi.RunError(str(error)) from None

    first, *further = stack.by_project()
    shared, monitoring = await declare(first, Project(first, further=False))
    others = [(await declare(part, Project(part, further=True)))[0] for part in further]
    if monitoring is not None:
        monitoring.budget([part.storage.data for part in (shared, *others)])

    return {
        "data_bucket": shared.storage.data.name,
        "models_bucket": shared.storage.models.name,
        "registry": shared.registry.url,
        "version": __version__,
    }


async def declare(stack: Stack, project: Project) -> "tuple[Shared, Monitoring | None]":
    """Declare one project's part of the stack. Each component follows those that it needs."""
    shared = Shared.declare(project)
    Watcher(shared)
    for name, bot in stack.accounts.items():
        Account(name, bot, shared)
        # The SDK registers resources when the program yields. If the program yielded only at its
        # end, that would take time quadratic in the number of accounts.
        await asyncio.sleep(0)
    # The modules below load parts of the SDK that take seconds, so they are imported when used.
    serving = training = None
    served = {name: bot.serve for name, bot in stack.accounts.items() if bot.serve is not None}
    if served:
        from stacks.serving import Serving

        serving = Serving(served, shared)
    if stack.training is not None:
        from stacks.training import Training

        training = Training(stack.training, shared)
    # One grant per bucket names all members who may list it. So it follows all identities, and
    # precedes the services and machines that list as soon as they start.
    listing = shared.storage.grant_listing()
    for part in (serving, training):
        if part is not None:
            part.start(*listing)
    if stack.monitoring is None:
        return shared, None
    from stacks.monitoring import Monitoring

    return shared, Monitoring(stack.monitoring, shared)


pulumi.run(main)
