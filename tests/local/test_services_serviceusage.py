"""A call of an API that is not enabled gets a 403, as in a new project."""

import pytest

from local.cloud import Cloud
from local.engine.handler import Handler
from local.resources import Resource
from local.services import catalogue
from local.services.context import GoogleError
from local.services.serviceusage import resources as apis
from tests.local.declaring import PROJECT


def enable(cloud: Cloud, api: str, project: str = PROJECT) -> None:
    service = f"{api}.googleapis.com"
    cloud.resources.put(
        Resource(
            urn=f"urn:{api}",
            type=apis.SERVICE,
            id=f"{project}/{service}",
            inputs={"service": service},
            outputs={},
        )
    )


def handlers(cloud: Cloud) -> dict[str, Handler]:
    return catalogue.handlers(
        cloud.context,
        cloud.storage,
        cloud.secrets,
        cloud.scheduler,
        cloud.instances,
        cloud.services,
    )


def test_every_type_and_function_of_the_local_cloud_has_its_api(cloud: Cloud) -> None:
    for token in [*handlers(cloud), *catalogue.invokes(cloud.context)]:
        apis.api_of(token)  # raises where the table has no row


def test_an_api_that_is_not_enabled_is_named_with_its_project(cloud: Cloud) -> None:
    for token in handlers(cloud):
        api = apis.api_of(token)
        if api is None or token == apis.SERVICE:
            continue
        with pytest.raises(GoogleError, match=rf"403: {api}\.googleapis\.com .* project {PROJECT}"):
            apis.require_api(cloud.resources, token, {"project": PROJECT})


def test_an_api_is_enabled_for_one_project(cloud: Cloud) -> None:
    enable(cloud, "storage", "another-project")
    with pytest.raises(GoogleError, match="403"):
        apis.require_api(cloud.resources, "gcp:storage/bucket:Bucket", {"project": PROJECT})
    enable(cloud, "storage")
    apis.require_api(
        cloud.resources, "gcp:storage/bucket:Bucket", {"project": f"projects/{PROJECT}"}
    )


def test_enabling_an_api_needs_resource_manager(cloud: Cloud) -> None:
    def ask(api: str) -> None:
        inputs = {"project": PROJECT, "service": f"{api}.googleapis.com"}
        apis.require_api(cloud.resources, apis.SERVICE, inputs)

    ask("cloudresourcemanager")
    with pytest.raises(GoogleError, match=r"cloudresourcemanager\.googleapis\.com"):
        ask("run")
    enable(cloud, "cloudresourcemanager")
    ask("run")
