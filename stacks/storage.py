"""The two buckets of a project."""

from dataclasses import dataclass
from typing import Self

import pulumi
import pulumi_gcp as gcp

from pipeline import layout
from stacks.bucket import Bucket
from stacks.project import Project


@dataclass(frozen=True)
class Storage:
    """The bucket of tweets and posts, and the bucket of models, pointers and training runs."""

    data: Bucket
    models: Bucket

    @classmethod
    def declare(cls, project: Project) -> Self:
        """Declare both buckets."""
        stack = project.stack
        return cls(
            data=Bucket(
                "data",
                project,
                name=layout.data_bucket(stack.project, stack.name),
                keep_days=stack.keep.tweets_days,
            ),
            models=Bucket(
                "models",
                project,
                name=layout.models_bucket(stack.project, stack.name),
                keep_days=stack.keep.models_days,
            ),
        )

    def may_list(self, member: pulumi.Input[str]) -> None:
        """Let a member list both buckets, once `grant_listing` declares the grants."""
        self.data.may_list(member)
        self.models.may_list(member)

    def grant_listing(self) -> list[gcp.storage.BucketIAMBinding]:
        """Declare the grants to list, after all members who may list are known."""
        return [self.data.grant_listing(), self.models.grant_listing()]
