"""The identity and the bearer token that all scrapers of a project share."""

from pipeline import layout
from stacks.bucket import READ, WRITE, Bucket
from stacks.component import Component
from stacks.project import Project
from stacks.secret import Secret


class Scraper(Component):
    """An identity that reads the bearer token and the bots' posts, and writes collected tweets."""

    def __init__(self, project: Project, data: Bucket) -> None:
        super().__init__(project.named("scraper"), project)
        self.identity = project.identity("scraper", "collects tweets")
        name = self.named("x-bearer")
        bearer = Secret(name, self, project, layout.bearer_secret(project.stack.name))
        self.bearer = bearer.readable_by(self.identity, name, self)
        data.grant(
            "scraper", self.identity.member, WRITE, layout.all_tweets(), layout.all_collected()
        )
        # The ids of the bots' own posts, which are not bought back.
        data.grant("scraper", self.identity.member, READ, layout.all_posts())
        data.may_list(self.identity.member)
        self.register_outputs({})
