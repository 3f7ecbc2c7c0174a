"""A bucket, and who may do what under which prefix of it."""

import pulumi
import pulumi_gcp as gcp

from stacks.component import Component

READ = "roles/storage.objectViewer"
# Creating, and never overwriting.
CREATE = "roles/storage.objectCreator"
# Reading, creating, overwriting (which needs delete) and deleting.
WRITE = "roles/storage.objectUser"
# Of a bucket: its metadata, and the names of its objects, which hold nothing private.
LIST = "roles/storage.legacyBucketReader"

_DAY = 24 * 3600  # seconds


class Bucket(Component):
    """A private bucket whose old versions go, and whose live objects stay.

    What was deleted or replaced is a noncurrent version for a day, and soft-deleted for `keep_days`
    after that: it can be had back in all that time. What is deleted with all its versions is
    soft-deleted at once, which nobody can cut short: `keep_days` is when it is gone for good.
    """

    def __init__(
        self,
        role: str,
        part_of: Component,
        *,
        name: str,
        project: str,
        location: str,
        keep_days: int,
        throw_away: bool,
        needs: pulumi.Resource,
    ) -> None:
        super().__init__(part_of.named(role), part_of)
        self._role = role
        self._name = name
        # Google gives the viewers of a project this role on every new bucket.
        self._listers: list[pulumi.Input[str]] = [f"projectViewer:{project}"]
        self.bucket = gcp.storage.Bucket(
            self.named(role),
            gcp.storage.BucketArgs(
                name=name,
                location=location,
                force_destroy=throw_away,
                uniform_bucket_level_access=True,
                public_access_prevention="enforced",
                versioning=gcp.storage.BucketVersioningArgs(enabled=True),
                soft_delete_policy=gcp.storage.BucketSoftDeletePolicyArgs(
                    retention_duration_seconds=keep_days * _DAY
                ),
                lifecycle_rules=[_delete_old_versions(), _abort_stale_uploads()],
            ),
            self.child(needs),
        )
        self.name = self.bucket.name
        self.register_outputs({})

    def grant(
        self, who: str, member: pulumi.Input[str], role: str, *prefixes: str
    ) -> gcp.storage.BucketIAMMember:
        """`role` for the objects under the prefixes, and no others; `who` names the grant."""
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

    def folder(
        self, who: str, member: pulumi.Input[str], name: str
    ) -> gcp.storage.ManagedFolderIamMember:
        """Let a member read and write the objects of one folder, and no others.

        The folder has an IAM policy of its own. So many folders are opened at once, where each
        grant on the bucket's policy waits for the one before (docs/performance.md). When the folder
        goes, its objects stay.
        """
        folder = gcp.storage.ManagedFolder(
            self.named(f"{self._role}-{who}-folder"),
            gcp.storage.ManagedFolderArgs(
                bucket=self.bucket.name,
                name=name,
                # Not its objects: Google would refuse to delete a folder that has any.
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
        """Let a member see the names of all objects, from when `let_list` is declared.

        Cloud Storage answers 403 in place of 404 for an absent object to a caller who may not list.
        """
        self._listers.append(member)

    def let_list(self) -> gcp.storage.BucketIAMBinding:
        """Declare who may list: one grant for all of them, however many they are.

        It says who has the role, and nobody else has it: the program uses the role for this alone.
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
