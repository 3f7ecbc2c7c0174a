"""The APIs that a project has enabled, and which API each resource or function calls.

It cannot show that enabling an API takes time to take effect.
"""

from typing import ClassVar

from local.engine.handler import Json
from local.resources import ResourceStore
from local.services.context import GoogleError, short
from local.services.handler import GoogleHandler

SERVICE = "gcp:projects/service:Service"

# By module of the gcp provider. `_BY_TOKEN` has the exceptions.
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
    "gcp:organizations/getProject:getProject": "cloudresourcemanager",
    "gcp:projects/iAMCustomRole:IAMCustomRole": "iam",
    "gcp:projects/iAMMember:IAMMember": "cloudresourcemanager",
    # Service Usage itself is on in every project. But the provider reads the project when it has
    # enabled an API (resource_google_project_service.go, 2026-11).
    SERVICE: "cloudresourcemanager",
}


class Service(GoogleHandler):
    """An API that is enabled."""

    replace_on: ClassVar = frozenset({"service", "project"})
    additive: ClassVar = True
    full_name: ClassVar = "{project}/{service}"
    formats: ClassVar = {
        "service": (r"[a-z0-9-]+\.googleapis\.com", "the host of an API of Google's")
    }


def api_of(token: str) -> str | None:
    """Returns the API that a type or function calls, such as "run"; None if it calls none.

    Raises:
        KeyError: It is of a module that is not known here.
    """
    package, module, *_ = token.replace("/", ":").split(":")
    if package != "gcp":
        return None
    return _BY_TOKEN.get(token) or _BY_MODULE[module]


def require_api(resources: ResourceStore, token: str, inputs: Json) -> None:
    """Raises GoogleError, as Google answers 403, where the API of a call is not enabled.

    `inputs` are those of the resource, or the function's arguments. They name the project.
    """
    api, project = api_of(token), short(inputs.get("project", ""))
    if api is None or (token == SERVICE and inputs["service"] == f"{api}.googleapis.com"):
        return
    if resources.get(SERVICE, f"{project}/{api}.googleapis.com") is None:
        raise GoogleError(
            f"Error 403: {api}.googleapis.com has not been used in project {project} before or it"
            " is disabled: declare it as a gcp.projects.Service, and let this depend on that"
        )
