"""Compute Engine's REST API as scheduled training uses it: inserts, watches, deletes instances.

Stands in for compute.googleapis.com. Every zone has capacity, and every operation is done at once.
It cannot show quotas and zones without capacity, which tests/control plays, nor how long Google
takes.
Source: https://cloud.google.com/compute/docs/reference/rest/v1/instances
"""

import itertools
import json
import re
from collections.abc import Iterator
from urllib.parse import parse_qs

from local.engine.handler import Json
from local.gateway.errors import HttpError
from local.gateway.gateway import not_implemented
from local.gateway.server import Request, Response
from local.services.compute.instances import Instance, Instances
from local.services.compute.resources import insertable, template_of
from local.services.context import Context, GoogleError, items, section

METHODS = (
    "compute.instances.aggregatedList",
    "compute.instances.delete",
    "compute.instances.get",
    "compute.instances.insert",
    "compute.zoneOperations.get",
)
PATH = (
    r"/compute/v1/(projects/[^/]+/(?:zones/[^/]+|aggregated))/(instances|operations)(?:/([^/]+))?"
)
"""The full name of a zone or of all zones, the collection, and the name of one of its members."""


class Compute:
    """Serves `PATH` for all zones of the project."""

    def __init__(self, context: Context, instances: Instances) -> None:
        self._context = context
        self._instances = instances
        self._require = context.policy.require
        self._numbers = itertools.count(1)

    def respond(self, path: re.Match[str], request: Request, member: str) -> Response:
        """Makes the call if the member may; raises HttpError."""
        zone, collection, name = path.groups()
        match request.method, collection, name:
            case "GET", "instances", None if zone.endswith("/aggregated"):
                return self._all(zone.rpartition("/")[0], member)
            case _ if zone.endswith("/aggregated"):
                raise not_implemented(request)
            case "POST", "instances", None:
                return self._insert(zone, request, member)
            case "GET", "instances", str():
                return self._get(f"{zone}/instances/{name}", member)
            case "DELETE", "instances", str():
                return self._delete(f"{zone}/instances/{name}", member)
            case "GET", "operations", str():
                operation = f"{zone}/operations/{name}"
                self._require(member, "compute.zoneOperations.get", operation)
                return self._operation(zone, name, "DONE")
            case _:
                raise not_implemented(request)

    def _insert(self, zone: str, request: Request, member: str) -> Response:
        try:
            body: Json = json.loads(request.body.read() or b"{}")
            machine = f"{zone}/instances/{body['name']}"
        except (ValueError, KeyError, TypeError) as error:
            raise HttpError(400, "invalid", 'the body is not {"name": …}') from error
        link = parse_qs(request.query).get("sourceInstanceTemplate", [""])[0]
        try:
            template = template_of(link, self._context)
            declared = insertable(template, body, self._context)
        except GoogleError as error:
            raise HttpError(404, "notFound", str(error)) from error
        self._require(member, "compute.instanceTemplates.useReadOnly", template.id)
        for permission, resource in _needed(zone, machine, declared, template.inputs["project"]):
            self._require(member, permission, resource)
        try:
            self._instances.boot_new(Instance.declared(machine, declared, self._context))
        except GoogleError as error:
            raise HttpError(409, "alreadyExists", str(error)) from error
        return self._operation(zone)

    def _get(self, machine: str, member: str) -> Response:
        self._require(member, "compute.instances.get", machine)
        return Response.json(200, _described(machine, self._status(machine)))

    def _all(self, project: str, member: str) -> Response:
        """Returns the instances of all zones, by zone."""
        self._require(member, "compute.instances.list", project)
        zones: dict[str, Json] = {}
        for instance in self._instances.all():
            zone = instance.id.split("/")[3]
            there: list[Json] = zones.setdefault(f"zones/{zone}", {"instances": []})["instances"]
            there.append(_described(instance.id, instance.status))
        kind = "compute#instanceAggregatedList"
        return Response.json(200, {"kind": kind, "id": f"{project}/aggregated", "items": zones})

    def _delete(self, machine: str, member: str) -> Response:
        self._require(member, "compute.instances.delete", machine)
        self._status(machine)
        self._instances.delete(machine)
        return self._operation(machine.rpartition("/instances/")[0])

    def _status(self, machine: str) -> str:
        status = self._instances.status(machine)
        if status is None:
            raise HttpError(404, "notFound", f"The resource '{machine}' was not found")
        return status

    def _operation(self, zone: str, name: str = "", status: str = "RUNNING") -> Response:
        name = name or f"operation-{next(self._numbers)}"
        operation = {"kind": "compute#operation", "name": name, "zone": zone, "status": status}
        return Response.json(200, operation)


def _described(machine: str, status: str) -> Json:
    zone, _, name = machine.rpartition("/instances/")
    return {"kind": "compute#instance", "name": name, "zone": zone, "status": status}


def _needed(zone: str, machine: str, declared: Json, project: str) -> Iterator[tuple[str, str]]:
    """Yields the permissions that such an instance needs, each with its resource.

    Source: https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert
    """
    yield "compute.instances.create", machine
    yield "compute.disks.create", f"{zone}/disks/{machine.rpartition('/')[2]}"
    for interface in items(declared, "networkInterfaces"):
        subnetwork = interface.get("subnetwork") or f"projects/{project}/regions/-/subnetworks/-"
        yield "compute.subnetworks.use", subnetwork
        if items(interface, "accessConfigs"):
            yield "compute.subnetworks.useExternalIp", subnetwork
    if section(declared, "metadata"):
        yield "compute.instances.setMetadata", machine
    if section(declared, "labels"):
        yield "compute.instances.setLabels", machine
    if email := section(declared, "serviceAccount").get("email"):
        yield "compute.instances.setServiceAccount", machine
        yield "iam.serviceAccounts.actAs", f"projects/{project}/serviceAccounts/{email}"
