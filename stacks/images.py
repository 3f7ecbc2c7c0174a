"""The program images: built from the repository and pushed, or built elsewhere and given."""

import pulumi

from stacks.component import Component
from stacks.foundation import Foundation


class Images(Component):
    """One image per program; consumers take them by digest.

    Where the stack file gives them, nothing is declared, and nothing needs Docker.
    """

    app: pulumi.Input[str]
    control: pulumi.Input[str]
    scraper: pulumi.Input[str]
    trainer: pulumi.Input[str]

    def __init__(self, foundation: Foundation) -> None:
        super().__init__(foundation.named("images"), foundation)
        self._foundation = foundation
        given = foundation.stack.images
        if given is not None:
            self.app, self.control = given.app, given.control
            self.scraper, self.trainer = given.scraper, given.trainer
        else:
            self.app = self._built("app", "app")
            self.control = self._built("control", "control_image")
            self.scraper = self._built("scraper", "scraper_image")
            self.trainer = self._built("trainer", "trainer_image")
        self.register_outputs({})

    def _built(self, program: str, folder: str) -> pulumi.Output[str]:
        import pulumi_docker as docker

        registry = self._foundation.registry
        image = docker.Image(
            self.named(program),
            # A tag of its own, so that no clean-up of untagged images takes what jobs name by
            # digest. The context is the repository; <Dockerfile>.dockerignore admits what each
            # program copies, so that nothing else rebuilds it.
            image_name=f"{registry.url}/{program}:{self._foundation.stack.name}",
            build=docker.DockerBuildArgs(
                context=".",
                dockerfile=f"{folder}/Dockerfile",
                platform="linux/amd64",
                # BuildKit writes it into the image in place of the time of the build.
                args={"SOURCE_DATE_EPOCH": "0"},
            ),
            opts=self.child(registry.repository),
        )
        return image.repo_digest
