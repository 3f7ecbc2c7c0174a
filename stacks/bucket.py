"""A bucket, and the grants on its objects."""

import pulumi
import pulumi_gcp as gcp

from stacks.component import Component
from stacks.project import Project

READ = "roles/storage.objectViewer"
# Create, but never overwrite.
CREATE = "roles/storage.objectCreator"
# Read, create, overwrite and delete. Overwriting needs the permission to delete.
WRITE = "roles/storage.objectUser"
# Read a bucket's metadata and the names of its objects, which contain nothing private.
LIST = "roles/storage.legacyBucketReader"

_DAY = 24 * 3600  # seconds


class Bucket(Component):
    """A private bucket. Old versions of its objects are deleted, live objects never.

    An object that is deleted or replaced stays as a noncurrent version for a day, and is then
    soft-deleted for `keep_days`. It can be restored during all that time. An object that is deleted
    with all of its versions is soft-deleted at once. After `keep_days` it is gone for good, and
    nobody can shorten that time.
    """

    def __init__(self, role: str, project: Project, *, name: str, keep_days: int) -> None:
        super().__init__(project.named(role), project)
        self._role = role
        self._name = name
        # Google grants this role to the project's viewers on every new bucket.
        self._listers: list[pulumi.Input[str]] = [f"projectViewer:{project.stack.project}"]
        self.bucket = gcp.storage.Bucket(
            self.named(role),
            gcp.storage.BucketArgs(
                name=name,
                location=project.stack.region,
                force_destroy=project.stack.throw_away,
                uniform_bucket_level_access=True,
                public_access_prevention="enforced",
                versioning=gcp.storage.BucketVersioningArgs(enabled=True),
                soft_delete_policy=gcp.storage.BucketSoftDeletePolicyArgs(
                    retention_duration_seconds=keep_days * _DAY
                ),
                lifecycle_rules=[_delete_old_versions(), _abort_stale_uploads()],
            ),
            self.child(project.service("storage")),
        )
        self.name = self.bucket.name
        self.register_outputs({})

    def grant(
        self, who: str, member: pulumi.Input[str], role: str, *prefixes: str
    ) -> gcp.storage.BucketIAMMember:
        """Grant `role` on the objects under the prefixes, and on no others.

        Args:
            who: The member's role in the program, which is a part of the grant's name.
            member: Who gets the role.
            role: One of this module's roles for objects.
            prefixes: Prefixes of the names of objects.
        """
        objects = f"projects/_/buckets/{self._name}/objects/"
        verb = role.removeprefix("roles/storage.object").lower()
        return gcp.storage.BucketIAMMember(
            self.named(f"{self._role}-{who}-{verb}"),
            gcp.storage.BucketIAMMemberArgs(
                bucket=self.bucket.name,
                role=role,
                member=member,
                condition=gcp.storage.BucketIAMMemberConditionArgs(
                    title=f"{who} {verb}",
                    expression=" || ".join(
                        f'resource.name.startsWith("{objects}{prefix}")' for prefix in prefixes
                    ),
                ),
            ),
            self.child(),
        )

    def grant_folder(
        self, who: str, member: pulumi.Input[str], name: str
    ) -> gcp.storage.ManagedFolderIamMember:
        """Let a member read and write the objects of one folder, and no others.

        A managed folder has an IAM policy of its own, so the grants on many folders are made at the
        same time. Grants on the bucket's own policy wait for each other (docs/performance.md). When
        the folder is deleted, its objects stay.
        """
        folder = gcp.storage.ManagedFolder(
            self.named(f"{self._role}-{who}-folder"),
            gcp.storage.ManagedFolderArgs(
                bucket=self.bucket.name,
                name=name,
                # Otherwise Google refuses to delete a folder that has objects.
                force_destroy=True,
            ),
            self.child(),
        )
        return gcp.storage.ManagedFolderIamMember(
            self.named(f"{self._role}-{who}-folder"),
            gcp.storage.ManagedFolderIamMemberArgs(
                bucket=self.bucket.name, managed_folder=folder.name, role=WRITE, member=member
            ),
            self.child(),
        )

    def may_list(self, member: pulumi.Input[str]) -> None:
        """Let a member see the names of all objects, once `grant_listing` declares the grant.

        To a caller who may not list, Cloud Storage responds with 403 for an absent object, not 404.
        """
        self._listers.append(member)

    def grant_listing(self) -> gcp.storage.BucketIAMBinding:
        """Declare one grant for all members who may list.

        A binding removes the role from every other member. That is safe, because the program uses
        this role for nothing else.
        """
        return gcp.storage.BucketIAMBinding(
            self.named(f"{self._role}-list"),
            gcp.storage.BucketIAMBindingArgs(
                bucket=self.bucket.name, role=LIST, members=list(self._listers)
            ),
            self.child(),
        )


def _delete_old_versions() -> gcp.storage.BucketLifecycleRuleArgs:
    return gcp.storage.BucketLifecycleRuleArgs(
        action=gcp.storage.BucketLifecycleRuleActionArgs(type="Delete"),
        condition=gcp.storage.BucketLifecycleRuleConditionArgs(
            with_state="ARCHIVED", days_since_noncurrent_time=1
        ),
    )


def _abort_stale_uploads() -> gcp.storage.BucketLifecycleRuleArgs:
    return gcp.storage.BucketLifecycleRuleArgs(
        action=gcp.storage.BucketLifecycleRuleActionArgs(type="AbortIncompleteMultipartUpload"),
        condition=gcp.storage.BucketLifecycleRuleConditionArgs(age=7),
    )
