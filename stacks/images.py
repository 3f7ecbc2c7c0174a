"""The program images: built here and pushed, or built elsewhere and named in the stack file."""

import pulumi

from stacks.component import Component
from stacks.project import Project
from stacks.registry import Registry


class Images(Component):
    """One image per program, by digest.

    If the stack file names them, nothing is declared, and Docker is not needed.
    """

    app: pulumi.Input[str]
    control: pulumi.Input[str]
    scraper: pulumi.Input[str]
    trainer: pulumi.Input[str]

    def __init__(self, project: Project, registry: Registry) -> None:
        super().__init__(project.named("images"), project)
        self._registry = registry
        self._tag = project.stack.name
        named = project.stack.images
        if named is not None:
            self.app, self.control = named.app, named.control
            self.scraper, self.trainer = named.scraper, named.trainer
        else:
            self.app = self._build("app", "app")
            self.control = self._build("control", "control_image")
            self.scraper = self._build("scraper", "scraper_image")
            self.trainer = self._build("trainer", "trainer_image")
        self.register_outputs({})

    def _build(self, program: str, folder: str) -> pulumi.Output[str]:
        import pulumi_docker as docker

        image = docker.Image(
            self.named(program),
            # The tag keeps an image that jobs name by digest from being cleaned up as untagged.
            image_name=f"{self._registry.url}/{program}:{self._tag}",
            build=docker.DockerBuildArgs(
                # The context is the repository. <Dockerfile>.dockerignore admits only what each
                # program copies, so a change elsewhere does not rebuild it.
                context=".",
                dockerfile=f"{folder}/Dockerfile",
                platform="linux/amd64",
                # BuildKit writes this time into the image instead of the time of the build.
                args={"SOURCE_DATE_EPOCH": "0"},
            ),
            opts=self.child(self._registry.repository),
        )
        return image.repo_digest
