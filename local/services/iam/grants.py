"""What the declared IAM resources grant: the grants on which `local.gateway.iam.Policy` decides."""

from collections.abc import Callable, Mapping

from local.engine.handler import Json
from local.gateway.iam import Grant
from local.resources import ResourceStore
from local.services.context import Context, GoogleError, items, section, short

ACCOUNT = "gcp:serviceaccount/account:Account"
CUSTOM_ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole"
BUCKET_MEMBER = "gcp:storage/bucketIAMMember:BucketIAMMember"
BUCKET_BINDING = "gcp:storage/bucketIAMBinding:BucketIAMBinding"

# The full name of the resource that a grant is on, by the type of the grant.
GRANTED_ON: Mapping[str, Callable[[Json], str]] = {
    "gcp:projects/iAMMember:IAMMember": lambda i: f"projects/{short(i['project'])}",
    BUCKET_MEMBER: lambda i: f"projects/_/buckets/{short(i['bucket'])}",
    BUCKET_BINDING: lambda i: f"projects/_/buckets/{short(i['bucket'])}",
    "gcp:storage/managedFolderIamMember:ManagedFolderIamMember": lambda i: (
        f"projects/_/buckets/{short(i['bucket'])}/managedFolders/{i['managedFolder']}"
    ),
    "gcp:serviceaccount/iAMMember:IAMMember": lambda i: str(i["serviceAccountId"]),
    "gcp:secretmanager/secretIamMember:SecretIamMember": lambda i: (
        f"projects/{i['project']}/secrets/{short(i['secretId'])}"
    ),
    "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember": lambda i: (
        f"projects/{i['project']}/locations/{i['location']}/repositories/{short(i['repository'])}"
    ),
    "gcp:pubsub/topicIAMMember:TopicIAMMember": lambda i: (
        f"projects/{i['project']}/topics/{short(i['topic'])}"
    ),
    "gcp:cloudrunv2/jobIamMember:JobIamMember": lambda i: (
        f"projects/{i['project']}/locations/{i['location']}/jobs/{short(i['name'])}"
    ),
    "gcp:cloudrunv2/serviceIamMember:ServiceIamMember": lambda i: (
        f"projects/{i['project']}/locations/{i['location']}/services/{short(i['name'])}"
    ),
}


def grants(resources: ResourceStore) -> dict[str, Grant]:
    """Returns all declared grants by their full names."""
    return {
        grant_name(resource.inputs, grant): grant
        for resource in resources.all()
        if resource.type in GRANTED_ON
        for grant in grants_of(resource.type, resource.inputs)
    }


def grant_name(inputs: Json, grant: Grant) -> str:
    """Returns the full name of a grant that `inputs` declare."""
    title = section(inputs, "condition").get("title")
    return "/".join([grant.resource, grant.role, grant.member, *filter(None, [title])])


def grants_of(token: str, inputs: Json) -> list[Grant]:
    """Returns what a resource of this type grants; ValueError for an unknown condition."""
    return [
        Grant(
            member=member,
            role=inputs["role"],
            resource=GRANTED_ON[token](inputs),
            condition=section(inputs, "condition").get("expression", ""),
        )
        for member in members(inputs)
    ]


def members(inputs: Json) -> list[str]:
    """Returns the members that a grant names."""
    return [inputs["member"]] if "member" in inputs else items(inputs, "members")


def custom_roles(resources: ResourceStore) -> dict[str, frozenset[str]]:
    """Returns the permissions of every declared custom role, by its full name."""
    return {
        role.id: frozenset(role.inputs["permissions"]) for role in resources.of_type(CUSTOM_ROLE)
    }


def account_name(project: str, email: str) -> str:
    """Returns the full name of a service account."""
    return f"projects/{project}/serviceAccounts/{email}"


def account_must_exist(context: Context, email: str) -> None:
    """Raises GoogleError if `email` is a service account of this project that is not declared."""
    here = email.endswith(f"@{context.project}.iam.gserviceaccount.com")
    if here and context.resources.get(ACCOUNT, account_name(context.project, email)) is None:
        raise GoogleError(f"Service account {email} does not exist: declare it first")
