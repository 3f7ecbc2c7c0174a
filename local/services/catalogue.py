"""All that the local cloud's providers know, by type."""

from collections.abc import Callable

from local.provider.kinds import Json, Kind
from local.services import (
    artifactregistry,
    cloudbuild,
    compute,
    docker,
    iam,
    monitoring,
    network,
    project,
    pubsub,
    run,
    scheduler,
    secretmanager,
    serving,
    storage,
)
from local.services.instances import Instances
from local.services.scheduler import Scheduler
from local.services.serving import Services
from local.services.world import World


def kinds(
    world: World, ticker: Scheduler, instances: Instances, services: Services
) -> dict[str, Kind]:
    """The kinds of all three providers, by type token."""
    return {
        **project.kinds(),
        **iam.kinds(world),
        **storage.kinds(world),
        **secretmanager.kinds(world),
        **artifactregistry.kinds(world),
        **pubsub.kinds(),
        **run.kinds(world),
        **serving.kinds(world, services),
        **scheduler.kinds(world, ticker),
        **cloudbuild.kinds(world),
        **compute.kinds(world, instances),
        **network.kinds(world),
        **docker.kinds(world),
        **monitoring.kinds(world),
    }


def invokes(world: World) -> dict[str, Callable[[Json], Json]]:
    """The functions of all three providers, by token."""
    return project.invokes(world)
