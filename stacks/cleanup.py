"""The registry's clean-up policies, which delete old images that nothing uses any more.

A policy that keeps an image wins over one that deletes it.
Source: https://cloud.google.com/artifact-registry/docs/repositories/cleanup-policy-overview
(2026-11).
"""

from pulumi_gcp.artifactregistry import RepositoryCleanupPolicyArgs as Policy
from pulumi_gcp.artifactregistry import RepositoryCleanupPolicyConditionArgs as Condition
from pulumi_gcp.artifactregistry import RepositoryCleanupPolicyMostRecentVersionsArgs as Newest

from stacks.config import OLD_IMAGE_DAYS, Stack

_OLD = f"{OLD_IMAGE_DAYS * 24 * 3600}s"


def policies(stack: Stack) -> list[Policy]:
    """The clean-up policies of a stack's registry.

    When a program image is replaced, the next image takes its tag before the jobs that name it by
    digest change. During that time it is safe, because it is among the newest of its package.
    Images of earlier releases need not be kept: a rollback builds the image again.
    """
    # Jobs run the tag `live`. Program images that `pulumi up` builds have the stack's name as tag.
    used = Condition(tag_state="TAGGED", tag_prefixes=["live", stack.name])
    newest = Newest(keep_count=stack.keep.releases)
    keeping = [
        Policy(id="used", action="KEEP", condition=used),
        Policy(id="newest", action="KEEP", most_recent_versions=newest),
    ]
    if stack.images is not None:
        # They may be in this registry under any tag. A version's name is its digest.
        digests = [image.rpartition("@")[2] for image in stack.images.model_dump().values()]
        by_digest = Condition(version_name_prefixes=digests)
        keeping.append(Policy(id="given", action="KEEP", condition=by_digest))
    old = Condition(tag_state="ANY", older_than=_OLD)
    return [*keeping, Policy(id="old", action="DELETE", condition=old)]
