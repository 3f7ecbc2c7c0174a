"""Instance templates, and instances that are made from them."""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from local.engine.handler import Failure, Json
from local.resources import Resource
from local.services.compute.instances import Instance, Instances
from local.services.compute.network import API
from local.services.context import Context, GoogleError, items, section, short, unique_number
from local.services.handler import GoogleHandler, must_not_be_protected
from local.services.iam.grants import account_must_exist

TEMPLATE = "gcp:compute/instanceTemplate:InstanceTemplate"
FROM_TEMPLATE = "gcp:compute/instanceFromTemplate:InstanceFromTemplate"

# What an instance never inherits from its template.
_OWN = {"sourceInstanceTemplate", "name", "zone", "project"}


class Template(GoogleHandler):
    """A template. It never changes, so any change makes a new one."""

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

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Yields what Compute Engine refuses."""
        yield from _name_failures(inputs)
        yield from _scheduling_failures(inputs)

    def create(self, _name: str, inputs: Json) -> tuple[str, Json]:
        """Records it. A number in its unique link tells it from a later one of the same name."""
        _account_must_exist(self._context, inputs)
        now = self._context.timestamp()
        number = unique_number(str(inputs), now)
        # Like the provider, puts 26 digits after a prefix.
        name = inputs.get("name") or f"{inputs['namePrefix']}{number}{number[:5]}"
        template = f"projects/{inputs['project']}/global/instanceTemplates/{name}"
        return template, {
            "name": name,
            "selfLink": API + template,
            "selfLinkUnique": f"{API}{template}?uniqueId={number[:19]}",
            "numericId": number[:19],
            "creationTimestamp": now,
            "metadataFingerprint": "",
            "tagsFingerprint": "",
        }


class FromTemplate(GoogleHandler):
    """An instance made from a template. What it declares itself takes precedence."""

    replace_on: ClassVar = frozenset(
        {
            *("sourceInstanceTemplate", "name", "zone", "project", "bootDisk", "scratchDisks"),
            *("networkInterfaces", "guestAccelerators", "metadataStartupScript", "canIpForward"),
            *("hostname", "description"),
        }
    )
    renewed: ClassVar = frozenset({"currentStatus", "metadataFingerprint", "labelFingerprint"})
    full_name: ClassVar = "projects/{project}/zones/{zone}/instances/{name}"

    def __init__(self, context: Context, instances: Instances) -> None:
        super().__init__(context)
        self._instances = instances

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Yields what Compute Engine refuses."""
        yield from _name_failures(inputs)
        yield from _scheduling_failures(inputs)
        zone = inputs.get("zone", "")
        if not re.fullmatch(r"[a-z]+-[a-z]+\d+-[a-z]", zone):
            yield "zone", f"{zone!r} is no zone, such as 'europe-west4-a'"
        for interface in items(inputs, "networkInterfaces"):
            region = re.search(r"regions/([^/]+)/", interface.get("subnetwork") or "")
            if region and not zone.startswith(f"{region[1]}-"):
                yield "zone", f"{zone!r} is not in the subnetwork's region {region[1]}"

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Boots it."""
        instance, _ = super().create(name, inputs)
        template = template_of(inputs["sourceInstanceTemplate"], self._context)
        declared = insertable(template, inputs, self._context)
        self._instances.boot_new(Instance.declared(instance, declared, self._context))
        return instance, {
            **{key: value for key, value in declared.items() if key not in inputs},
            "selfLink": API + instance,
            "instanceId": unique_number(instance)[:19],
            "currentStatus": "RUNNING",
            "creationTimestamp": self._context.timestamp(),
            "cpuPlatform": "Intel Cascade Lake",
            "metadataFingerprint": "",
            "labelFingerprint": "",
            "tagsFingerprint": "",
        }

    def update(self, id_: str, _old_outputs: Json, inputs: Json) -> Json:
        """Lets a change in place hold from the next boot on."""
        template = template_of(inputs["sourceInstanceTemplate"], self._context)
        declared = insertable(template, inputs, self._context)
        self._instances.redeclare(Instance.declared(id_, declared, self._context))
        return {"currentStatus": self._instances.status(id_)}

    def read(self, id_: str, outputs: Json) -> Json | None:
        """Returns the status as it is now; None once it was deleted, even by its own time limit."""
        status = self._instances.status(id_)
        return None if status is None else outputs | {"currentStatus": status}

    def delete(self, id_: str, outputs: Json) -> None:
        """Kills and removes it. Like the real provider, fails where it is gone already."""
        must_not_be_protected("instance", id_, outputs)
        if self._instances.status(id_) is None:
            raise GoogleError(
                f"The resource '{id_}' was not found: it deleted itself; "
                "run with --refresh to forget it"
            )
        self._instances.delete(id_)


def template_of(link: str, context: Context) -> Resource:
    """Returns the template of a link, an id or a name; raises GoogleError if there is none."""
    name = link.removeprefix(API).partition("?")[0]
    found = [
        template
        for template in context.resources.of_type(TEMPLATE)
        if name in (template.id, short(template.id))
        and ("?" not in link or link == template.outputs["selfLinkUnique"])
    ]
    if not found:
        raise GoogleError(f"the instance template {link} was not found")
    return found[0]


def insertable(template: Resource, inputs: Json, context: Context) -> dict[str, Any]:
    """Returns an instance's inputs. As at Google, each given property replaces the template's.

    Raises:
        GoogleError: The account that it is to run as does not exist.
    """
    inherited = {
        key: value
        for key, value in template.inputs.items()
        if key not in {*_OWN, "namePrefix", "disks", "description", "region"}
    }
    declared = inherited | {key: value for key, value in inputs.items() if key not in _OWN}
    _account_must_exist(context, declared)
    return declared


def _account_must_exist(context: Context, inputs: Json) -> None:
    if email := section(inputs, "serviceAccount").get("email"):
        account_must_exist(context, email)


def _name_failures(inputs: Json) -> Iterator[Failure]:
    # The provider adds 26 digits to a prefix.
    key, limit = ("name", 63) if "name" in inputs else ("namePrefix", 37)
    name = inputs[key]
    pattern = r"[a-z][-a-z0-9]*" if key == "namePrefix" else r"[a-z](?:[-a-z0-9]*[a-z0-9])?"
    if not re.fullmatch(pattern, name) or len(name) > limit:
        yield key, f"{name!r} is not 1 to {limit} lower-case letters, digits and hyphens"


def _scheduling_failures(inputs: Json) -> Iterator[Failure]:
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
