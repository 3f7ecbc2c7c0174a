"""The identity and the bearer token that all scrapers of a project share."""

from pipeline import layout
from stacks.bucket import WRITE, Bucket
from stacks.component import Component
from stacks.project import Project
from stacks.secret import Secret


class Scraper(Component):
    """An identity that may read the bearer token and write collected tweets, and nothing else."""

    def __init__(self, project: Project, data: Bucket) -> None:
        super().__init__(project.named("scraper"), project)
        self.identity = project.identity("scraper", "collects tweets")
        self.bearer = Secret.declare(
            self.named("x-bearer"),
            self,
            project,
            secret_id=layout.bearer_secret(project.stack.name),
            readable_by=self.identity,
        )
        data.grant(
            "scraper", self.identity.member, WRITE, layout.all_tweets(), layout.all_collected()
        )
        data.may_list(self.identity.member)
        self.register_outputs({})
