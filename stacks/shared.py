"""The parts of a project that all accounts share."""

from dataclasses import dataclass
from typing import Self

from stacks.images import Images
from stacks.job import Scheduler
from stacks.project import Project
from stacks.registry import Registry
from stacks.release import Release
from stacks.scraper import Scraper
from stacks.storage import Storage


@dataclass(frozen=True)
class Shared:
    """The parts that every project of a stack has, whatever its accounts."""

    project: Project
    storage: Storage
    registry: Registry
    scheduler: Scheduler
    images: Images
    release: Release
    scraper: Scraper

    @classmethod
    def declare(cls, project: Project) -> Self:
        """Declare all parts, each after the parts that it needs."""
        storage = Storage.declare(project)
        registry = Registry(project)
        images = Images(project, registry)
        return cls(
            project=project,
            storage=storage,
            registry=registry,
            scheduler=Scheduler(project),
            images=images,
            release=Release(project, storage.models, registry, images),
            scraper=Scraper(project, storage.data),
        )
