"""Which images the registry deletes by itself: old ones that nothing runs any more.

Keeping wins over deleting, and is by tag, by digest, or by being among a package's newest.
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

    A program image loses its tag to the next one before the jobs that name it by digest change;
    until then it is among the newest of its package. The image of a release that has to go live
    again need not be kept: it is built again, from the models bucket.
    """
    # Jobs run `live`; program images that are built here bear the stack's name.
    used = Condition(tag_state="TAGGED", tag_prefixes=["live", stack.name])
    newest = Newest(keep_count=stack.keep.releases)
    keeping = [
        Policy(id="used", action="KEEP", condition=used),
        Policy(id="newest", action="KEEP", most_recent_versions=newest),
    ]
    if stack.images is not None:
        # They may be in this registry, under any tag: a version's name is its digest.
        digests = [image.rpartition("@")[2] for image in stack.images.model_dump().values()]
        given = Condition(version_name_prefixes=digests)
        keeping.append(Policy(id="given", action="KEEP", condition=given))
    old = Condition(tag_state="ANY", older_than=_OLD)
    return [*keeping, Policy(id="old", action="DELETE", condition=old)]
