"""Compute Engine: instance templates, and the machines that are made from them."""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from local.provider.kinds import Json, Kind
from local.resources import Resource
from local.services.iam import must_exist
from local.services.instances import Instance, Instances
from local.services.world import GoogleError, World, items, section, short, unique_number

TEMPLATE = "gcp:compute/instanceTemplate:InstanceTemplate"
FROM_TEMPLATE = "gcp:compute/instanceFromTemplate:InstanceFromTemplate"

_API = "https://www.googleapis.com/compute/v1/"
# What an instance has of its own and never from its template.
_OWN = {"sourceInstanceTemplate", "name", "zone", "project"}


def kinds(world: World, instances: Instances) -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {TEMPLATE: Template(world), FROM_TEMPLATE: FromTemplate(world, instances)}


class Template(Kind):
    """A template; it never changes, so any change makes a new one."""

    replace_on: ClassVar = frozenset(
        {
            *("name", "namePrefix", "project", "region", "description", "instanceDescription"),
            *("machineType", "minCpuPlatform", "canIpForward", "enableDisplay", "disks"),
            *("guestAccelerators", "networkInterfaces", "networkPerformanceConfig", "scheduling"),
            *("serviceAccount", "metadata", "metadataStartupScript", "tags", "labels"),
            *("shieldedInstanceConfig", "confidentialInstanceConfig", "advancedMachineFeatures"),
            *("reservationAffinity", "resourcePolicies", "resourceManagerTags"),
        }
    )

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """What Compute Engine refuses."""
        return [*_name_complaints(inputs), *_scheduling_complaints(inputs)]

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Its unique link carries a number, so that a later template of this name is another."""
        account_must_exist(self._world, inputs)
        number = unique_number(str(inputs), self._world.timestamp())
        # As the provider does: a prefix is followed by 26 digits.
        name = inputs.get("name") or f"{inputs['namePrefix']}{number}{number[:5]}"
        template = f"projects/{inputs['project']}/global/instanceTemplates/{name}"
        return template, {
            "name": name,
            "selfLink": _API + template,
            "selfLinkUnique": f"{_API}{template}?uniqueId={number[:19]}",
            "numericId": number[:19],
            "creationTimestamp": self._world.timestamp(),
            "metadataFingerprint": "",
            "tagsFingerprint": "",
        }


class FromTemplate(Kind):
    """A machine made from a template, on which what it declares itself takes precedence."""

    replace_on: ClassVar = frozenset(
        {
            *("sourceInstanceTemplate", "name", "zone", "project", "bootDisk", "scratchDisks"),
            *("networkInterfaces", "guestAccelerators", "metadataStartupScript", "canIpForward"),
            *("hostname", "description"),
        }
    )
    renewed: ClassVar = frozenset({"currentStatus", "metadataFingerprint", "labelFingerprint"})

    def __init__(self, world: World, instances: Instances) -> None:
        self._world = world
        self._instances = instances

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """What Compute Engine refuses."""
        wrong = [*_name_complaints(inputs), *_scheduling_complaints(inputs)]
        zone = inputs.get("zone", "")
        if not re.fullmatch(r"[a-z]+-[a-z]+\d+-[a-z]", zone):
            wrong.append(("zone", f"{zone!r} is no zone, such as 'europe-west4-a'"))
        for interface in items(inputs, "networkInterfaces"):
            region = re.search(r"regions/([^/]+)/", interface.get("subnetwork") or "")
            if region and not zone.startswith(f"{region[1]}-"):
                wrong.append(("zone", f"{zone!r} is not in the subnetwork's region {region[1]}"))
        return wrong

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Merge it with the template and boot it."""
        del name
        instance = f"projects/{inputs['project']}/zones/{inputs['zone']}/instances/{inputs['name']}"
        merged = self._merged(inputs)
        account_must_exist(self._world, merged)
        self._instances.boot_new(
            Instance.declared(instance, merged, self._world, self._world.clock.now())
        )
        return instance, {
            **{key: value for key, value in merged.items() if key not in inputs},
            "selfLink": _API + instance,
            "instanceId": unique_number(instance)[:19],
            "currentStatus": "RUNNING",
            "creationTimestamp": self._world.timestamp(),
            "cpuPlatform": "Intel Cascade Lake",
            "metadataFingerprint": "",
            "labelFingerprint": "",
            "tagsFingerprint": "",
        }

    def update(self, id: str, old_outputs: Json, inputs: Json) -> Json:  # noqa: A002
        """What changes in place here holds from the next boot on."""
        del old_outputs
        merged = self._merged(inputs)
        self._instances.redeclare(
            Instance.declared(id, merged, self._world, self._world.clock.now())
        )
        return {"currentStatus": self._instances.status(id)}

    def read(self, id: str, outputs: Json) -> Json | None:  # noqa: A002
        """With its status as it is now; None once it was deleted, be it by its own time limit."""
        status = self._instances.status(id)
        return None if status is None else outputs | {"currentStatus": status}

    def delete(self, id: str, outputs: Json) -> None:  # noqa: A002
        """Kill and remove it; the real provider fails where it is gone already."""
        if outputs.get("deletionProtection"):
            raise GoogleError(f"the instance {short(id)} is protected: lift deletionProtection")
        if self._instances.status(id) is None:
            raise GoogleError(
                f"The resource '{id}' was not found: it deleted itself; "
                "run with --refresh to forget it"
            )
        self._instances.delete(id)

    def _merged(self, inputs: Json) -> Json:
        return merged(template_of(inputs["sourceInstanceTemplate"], self._world), inputs)


def template_of(link: str, world: World) -> Resource:
    """The template that a link, an id or a name means; GoogleError if there is none."""
    name = link.removeprefix(_API).partition("?")[0]
    found = [
        template
        for template in world.resources.of_type(TEMPLATE)
        if name in (template.id, short(template.id))
        and ("?" not in link or link == template.outputs["selfLinkUnique"])
    ]
    if not found:
        raise GoogleError(f"the instance template {link} was not found")
    return found[0]


def merged(template: Resource, inputs: Json) -> dict[str, Any]:
    """As Compute Engine inserts: each property that is given replaces the template's whole."""
    inherited = {
        key: value
        for key, value in template.inputs.items()
        if key not in {*_OWN, "namePrefix", "disks", "description", "region"}
    }
    return inherited | {key: value for key, value in inputs.items() if key not in _OWN}


def account_must_exist(world: World, inputs: Json) -> None:
    """Raise GoogleError where the account that a machine is to run as is not there."""
    if email := section(inputs, "serviceAccount").get("email"):
        must_exist(world, email)


def _name_complaints(inputs: Json) -> Iterator[tuple[str, str]]:
    # The provider adds 26 digits to a prefix.
    key, limit = ("name", 63) if "name" in inputs else ("namePrefix", 37)
    name = inputs[key]
    pattern = r"[a-z][-a-z0-9]*" if key == "namePrefix" else r"[a-z](?:[-a-z0-9]*[a-z0-9])?"
    if not re.fullmatch(pattern, name) or len(name) > limit:
        yield key, f"{name!r} is not 1 to {limit} lower-case letters, digits and hyphens"


def _scheduling_complaints(inputs: Json) -> Iterator[tuple[str, str]]:
    scheduling = section(inputs, "scheduling")
    limit = scheduling.get("maxRunDuration")
    if limit and not 30 <= limit["seconds"] <= 120 * 24 * 3600:
        yield (
            "scheduling.maxRunDuration.seconds",
            f"{limit['seconds']} s is not within 30 s and 120 days",
        )
    spot = scheduling.get("provisioningModel") == "SPOT"
    if scheduling.get("instanceTerminationAction") == "DELETE" and not (spot or limit):
        yield "scheduling.instanceTerminationAction", "DELETE needs maxRunDuration, or SPOT"
    if spot and scheduling.get("automaticRestart"):
        yield "scheduling.automaticRestart", "a SPOT machine cannot restart by itself: give false"
    on_maintenance = scheduling.get("onHostMaintenance")
    if inputs.get("guestAccelerators") and on_maintenance != "TERMINATE":
        yield "scheduling.onHostMaintenance", "a machine with a GPU needs TERMINATE"
