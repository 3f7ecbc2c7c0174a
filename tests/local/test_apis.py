"""APIs that are not enabled answer 403, as in a project that is new."""

import pytest

from local import apis
from local.cloud import Cloud
from local.resources import Resource
from local.services import catalogue
from local.services.world import GoogleError
from tests.local.declaring import PROJECT


def enable(cloud: Cloud, api: str, project: str = PROJECT) -> None:
    service = f"{api}.googleapis.com"
    cloud.resources.put(
        Resource(f"urn:{api}", apis.SERVICE, f"{project}/{service}", {"service": service}, {})
    )


def test_every_type_and_function_of_the_local_cloud_has_its_api(cloud: Cloud) -> None:
    kinds = catalogue.kinds(cloud.world, cloud.scheduler, cloud.instances, cloud.services)
    for token in [*kinds, *catalogue.invokes(cloud.world)]:
        apis.api_of(token)  # raises where the table has no row


def test_an_api_that_is_not_enabled_is_named_with_its_project(cloud: Cloud) -> None:
    for token in catalogue.kinds(cloud.world, cloud.scheduler, cloud.instances, cloud.services):
        api = apis.api_of(token)
        if api is None or token == apis.SERVICE:
            continue
        with pytest.raises(GoogleError, match=rf"403: {api}\.googleapis\.com .* project {PROJECT}"):
            apis.require(cloud.resources, token, {"project": PROJECT})


def test_an_api_is_enabled_for_one_project(cloud: Cloud) -> None:
    enable(cloud, "storage", "another-project")
    with pytest.raises(GoogleError, match="403"):
        apis.require(cloud.resources, "gcp:storage/bucket:Bucket", {"project": PROJECT})
    enable(cloud, "storage")
    apis.require(cloud.resources, "gcp:storage/bucket:Bucket", {"project": f"projects/{PROJECT}"})


def test_enabling_itself_needs_the_api_that_looks_projects_up(cloud: Cloud) -> None:
    def ask(api: str) -> None:
        inputs = {"project": PROJECT, "service": f"{api}.googleapis.com"}
        apis.require(cloud.resources, apis.SERVICE, inputs)

    ask("cloudresourcemanager")
    with pytest.raises(GoogleError, match=r"cloudresourcemanager\.googleapis\.com"):
        ask("run")
    enable(cloud, "cloudresourcemanager")
    ask("run")
