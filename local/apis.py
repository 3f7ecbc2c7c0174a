"""Which API of Google's a resource or function of the providers calls, and whether it is on."""

from local.provider.kinds import Json
from local.resources import ResourceStore
from local.services.world import GoogleError, short

SERVICE = "gcp:projects/service:Service"

# By module of the gcp provider; what a module calls beside its own API is in `_BY_TOKEN`.
_BY_MODULE = {
    "artifactregistry": "artifactregistry",
    "billing": "billingbudgets",
    "cloudbuild": "cloudbuild",
    "cloudrunv2": "run",
    "cloudscheduler": "cloudscheduler",
    "compute": "compute",
    "logging": "logging",
    "monitoring": "monitoring",
    "pubsub": "pubsub",
    "secretmanager": "secretmanager",
    "serviceaccount": "iam",
    "storage": "storage",
}
_BY_TOKEN = {
    "gcp:organizations/getClientConfig:getClientConfig": None,
    "gcp:organizations/getProject:getProject": "cloudresourcemanager",
    "gcp:projects/iAMCustomRole:IAMCustomRole": "iam",
    "gcp:projects/iAMMember:IAMMember": "cloudresourcemanager",
    # Service Usage, which enables, is on in every project; but the provider looks the project up
    # when it has enabled an API (resource_google_project_service.go, 2026-11).
    SERVICE: "cloudresourcemanager",
}


def api_of(token: str) -> str | None:
    """The API that a type or function calls, such as "run"; None if it calls none of Google's.

    Raises:
        KeyError: it is of a module that is not known here.
    """
    package, module, *_ = token.replace("/", ":").split(":")
    if package != "gcp":
        return None
    return _BY_TOKEN[token] if token in _BY_TOKEN else _BY_MODULE[module]


def require(resources: ResourceStore, token: str, inputs: Json) -> None:
    """Raise GoogleError, as Google answers 403, where the API of a call is not enabled.

    `inputs` are the resource's, or the function's arguments, with the provider's project where they
    name none. It stands in for Service Usage, and cannot show that enabling takes time to spread.
    """
    api, project = api_of(token), short(inputs.get("project", ""))
    if api is None or (token == SERVICE and inputs["service"] == f"{api}.googleapis.com"):
        return
    if resources.get(SERVICE, f"{project}/{api}.googleapis.com") is None:
        raise GoogleError(
            f"Error 403: {api}.googleapis.com has not been used in project {project} before or it"
            " is disabled: declare it as a gcp.projects.Service, and let this depend on that"
        )
