"""The registry's clean-up policies: it deletes old images that nothing uses any more.

A policy that keeps an image wins over one that deletes it.
Source: https://cloud.google.com/artifact-registry/docs/repositories/cleanup-policy-overview
(2026-11).
"""

from pulumi_gcp.artifactregistry import RepositoryCleanupPolicyArgs as Policy
from pulumi_gcp.artifactregistry import RepositoryCleanupPolicyConditionArgs as Condition
from pulumi_gcp.artifactregistry import RepositoryCleanupPolicyMostRecentVersionsArgs as Newest

from stacks.config import Stack

_OLD = f"{30 * 24 * 3600}s"


def policies(stack: Stack) -> list[Policy]:
    """The clean-up policies of a stack's registry.

    A program image loses its tag to the next image before the jobs that name it by digest change.
    Until then it is among the newest of its package. Images of earlier releases need not be kept: a
    rollback builds the image again from the models bucket.
    """
    # Jobs run the tag `live`. Program images that are built here have the stack's name as tag.
    used = Condition(tag_state="TAGGED", tag_prefixes=["live", stack.name])
    newest = Newest(keep_count=stack.keep.releases)
    keeping = [
        Policy(id="used", action="KEEP", condition=used),
        Policy(id="newest", action="KEEP", most_recent_versions=newest),
    ]
    if stack.images is not None:
        # They may be in this registry under any tag, so keep them by digest, a version's name.
        digests = [image.rpartition("@")[2] for image in stack.images.model_dump().values()]
        given = Condition(version_name_prefixes=digests)
        keeping.append(Policy(id="given", action="KEEP", condition=given))
    old = Condition(tag_state="ANY", older_than=_OLD)
    return [*keeping, Policy(id="old", action="DELETE", condition=old)]
