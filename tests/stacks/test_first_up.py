"""A first `up` in an empty project: every resource waits for the APIs that it calls.

The tests look at the dependencies that the engine orders by, so a lucky order hides no mistake.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from local.services.serviceusage import resources as apis
from tests.stacks.recorder import Declared, Recorder, declare, stack_values

Key = tuple[str, str]

FURTHER = "example-bots-more"


def _declare(environment: str) -> Recorder:
    values = stack_values(environment)
    values["gpt2-bots:training"]["run"] = "2026-11-23"
    if environment == "prod":
        values["gpt2-bots:accounts"]["baker"]["project"] = FURTHER
    return declare(environment, values)


@pytest.fixture(scope="module", params=["local", "dev", "prod"])
def declared(request: pytest.FixtureRequest) -> Recorder:
    return _declare(request.param)


def needs(resource: Declared) -> set[str]:
    """The APIs that are called to create a resource, or by the resource itself."""
    # Images and tags are pushed to the registry. A schedule calls the API of its address.
    own = apis.api_of(resource.type) or ("artifactregistry" if "docker" in resource.type else None)
    called = re.match(
        r"https://([a-z]+)\.googleapis\.com/", resource.inputs.get("httpTarget", {}).get("uri", "")
    )
    needed = {api for api in (own, called and called[1]) if api}
    is_service = resource.type == apis.SERVICE
    return needed - ({resource.inputs["service"].partition(".")[0]} if is_service else set())


def waits_for(recorder: Recorder, key: Key) -> set[Key]:
    """All that is created before a resource."""
    needed = {r.key: r.needs for r in recorder.resources}
    found: set[Key] = set()
    open_ = [key]
    while open_:
        for dependency in needed[open_.pop()] - found:
            found.add(dependency)
            open_.append(dependency)
    return found


def missing(recorder: Recorder) -> Iterator[str]:
    """One line for each resource and API that the resource needs but does not wait for."""
    services = {
        (r.inputs["service"].partition(".")[0], r.inputs["project"]): r.key
        for r in recorder.of(apis.SERVICE)
    }
    projects = {p.name: p.inputs["project"] for p in recorder.of("pulumi:providers:gcp")}
    for resource in recorder.providers_resources:
        project = projects.get(resource.provider.partition("::")[0])
        before = waits_for(recorder, resource.key)
        for api in needs(resource):
            enabled = {key for (a, p), key in services.items() if a == api and project in (p, None)}
            if not enabled & before:
                yield f"{resource.type} {resource.name} does not wait for {api}"


def test_every_resource_waits_for_the_apis_that_it_calls(declared: Recorder) -> None:
    assert list(missing(declared)) == []


def test_a_missing_dependency_is_found_for_every_api(declared: Recorder) -> None:
    for service in declared.of(apis.SERVICE):
        api = service.inputs["service"].partition(".")[0]
        key = service.key
        without = Recorder(
            declared.project, [replace(r, needs=r.needs - {key}) for r in declared.resources]
        )
        assert any(line.endswith(f" {api}") for line in missing(without)), api


def test_the_api_that_looks_up_projects_is_enabled_first(declared: Recorder) -> None:
    for service in declared.of(apis.SERVICE):
        before = {name for _, name in waits_for(declared, service.key)}
        own = service.inputs["service"] == "cloudresourcemanager.googleapis.com"
        assert [name for name in before if name.endswith("cloudresourcemanager")] or own
