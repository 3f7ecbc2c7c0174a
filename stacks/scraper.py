"""What the scrapers of a stack share: one identity, and X's bearer token."""

from pipeline import layout
from stacks.bucket import WRITE
from stacks.component import Component
from stacks.foundation import Foundation
from stacks.secret import Secret


class Scraper(Component):
    """May read the bearer token and write what is collected, nothing else."""

    def __init__(self, foundation: Foundation) -> None:
        super().__init__(foundation.named("scraper"), foundation)
        self.identity = foundation.identity("scraper", "collects tweets")
        self.bearer = Secret(
            self.named("x-bearer"),
            self,
            secret_id=layout.bearer_secret(foundation.stack.name),
            readable_by=self.identity.member,
            needs=foundation.service("secretmanager"),
        )
        foundation.data.grant("scraper", self.identity.member, WRITE, "tweets/", "collected/")
        foundation.data.may_list(self.identity.member)
        self.register_outputs({})
