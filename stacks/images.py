"""The three program images, built from the repository and pushed to the registry."""

import pulumi
import pulumi_docker as docker

from stacks.component import Component
from stacks.foundation import Foundation


class Images(Component):
    """One image per program; consumers take them by digest."""

    def __init__(self, foundation: Foundation) -> None:
        super().__init__(foundation.named("images"), foundation)
        self._foundation = foundation
        self.app = self._image("app", "app").repo_digest
        self.scraper = self._image("scraper", "scraper_image").repo_digest
        self.trainer = self._image("trainer", "trainer_image").repo_digest
        self.register_outputs({})

    def _image(self, program: str, folder: str) -> docker.Image:
        registry = self._foundation.registry
        return docker.Image(
            self.named(program),
            # A tag of its own, so that no clean-up of untagged images takes what jobs name by
            # digest. The context is the repository; <Dockerfile>.dockerignore admits what each
            # program copies, so that nothing else rebuilds it.
            image_name=pulumi.Output.concat(
                registry.url, "/", program, ":", self._foundation.stack.name
            ),
            build=docker.DockerBuildArgs(
                context=".",
                dockerfile=f"{folder}/Dockerfile",
                platform="linux/amd64",
            ),
            opts=self.child(registry.repository),
        )
