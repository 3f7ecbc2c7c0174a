"""Rules for everything that the program declares. Each rule is a function that yields faults.

The models of the stack file, the SDK's classes and the recorder catch other mistakes. `faults` runs
all rules, and `tests.stacks.planted` shows that each catches the mistakes that it is for.
"""

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import JsonValue

from local.engine.schema import resource_type
from local.engine.wire import MARKER
from local.gateway.iam import ROLES
from local.services.iam.grants import (
    BUCKET_BINDING,
    CUSTOM_ROLE,
    GRANTED_ON,
    grants_of,
)
from local.services.serviceusage import resources as apis
from local.services.storage.resources import MANAGED_FOLDER
from stacks.bucket import LIST
from tests.stacks.recorder import Declared, Recorder

_SERVICE = "gcp:projects/service:Service"
_PROVIDER = "pulumi:providers:gcp"
_RUN_JOB = "gcp:cloudrunv2/job:Job"
_SCHEDULE = "gcp:cloudscheduler/job:Job"
_OBJECT = "gcp:storage/bucketObject:BucketObject"
_MACHINE = "gcp:compute/instanceFromTemplate:InstanceFromTemplate"
_TRIGGER = "gcp:cloudbuild/trigger:Trigger"
_TEMPLATE = "gcp:compute/instanceTemplate:InstanceTemplate"

# A name of at most 63 characters that may be part of a host's.
_LABEL = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
# The input with the physical name, and the names that Google takes.
_NAMES = {
    "gcp:artifactregistry/repository:Repository": ("repositoryId", _LABEL),
    _TRIGGER: ("name", r"[a-z]([a-z0-9-]{0,62}[a-z0-9])?"),
    _RUN_JOB: ("name", _LABEL),
    "gcp:cloudrunv2/service:Service": ("name", r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?"),
    _SCHEDULE: ("name", r"[A-Za-z0-9_-]{1,500}"),
    _MACHINE: ("name", _LABEL),
    _TEMPLATE: ("namePrefix", r"[a-z][a-z0-9-]{0,36}"),
    "gcp:compute/network:Network": ("name", _LABEL),
    CUSTOM_ROLE: ("roleId", r"[A-Za-z0-9_.]{3,64}"),
    "gcp:pubsub/topic:Topic": ("name", r"[A-Za-z][A-Za-z0-9_.~+%-]{2,254}"),
    "gcp:secretmanager/secret:Secret": ("secretId", r"[A-Za-z0-9_-]{1,255}"),
    "gcp:serviceaccount/account:Account": ("accountId", r"[a-z][a-z0-9-]{4,28}[a-z0-9]"),
    "gcp:storage/bucket:Bucket": ("name", r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"),
}  # fmt: skip
# The shortest and longest durations that Google takes, in seconds, by type and key.
_LIMITS = {
    (_SCHEDULE, "attemptDeadline"): (15, 1800),
    (_RUN_JOB, "timeout"): (1, 604_800),
    (_TRIGGER, "timeout"): (1, 86_400),
    ("gcp:cloudrunv2/service:Service", "timeout"): (1, 3600),
}
_DURATION_KEYS = re.compile(
    r"timeout|ttl|period|duration|\w*Deadline|\w*Backoff\w*|\w*(Duration|(?<!calendar)Period|Than|Close)"
)
_GRANTED_FIRST = {
    "gcp:storage/notification:Notification": "gcp:pubsub/topicIAMMember:TopicIAMMember",
    _SCHEDULE: ("gcp:cloudrunv2/jobIamMember:JobIamMember", "gcp:projects/iAMMember:IAMMember"),
    _MACHINE: "gcp:storage/bucketIAMMember:BucketIAMMember",
}
_LIST_AT_ONCE = (_MACHINE, "gcp:cloudrunv2/service:Service")
_EVENTS = ("JSON_API_V1", ["OBJECT_FINALIZE"])
_WITH_GPU = re.compile(r"(g2|a2|a3)-")


def plain(value: JsonValue) -> Any:
    """Inputs without the marks that Pulumi puts on secrets."""
    match value:
        case dict() if MARKER in value and "value" in value:
            return plain(value["value"])
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def _leaves(value: JsonValue, path: str = "") -> Iterator[tuple[str, Any]]:
    """The path and value of everything in nested inputs, containers included."""
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")


def _all(declared: Recorder) -> Iterator[tuple[Declared, Any]]:
    for resource in declared.providers_resources:
        yield resource, plain(dict(resource.inputs))


def _of(declared: Recorder, kind: str) -> Iterator[tuple[Declared, Any]]:
    return ((resource, inputs) for resource, inputs in _all(declared) if resource.type == kind)


def _containers(inputs: Any) -> list[Any]:
    template = inputs["template"]
    return template.get("template", template)["containers"]


def types(declared: Recorder) -> Iterator[str]:
    """The SDK's type has every input, with the same scalar type or enum."""
    for resource, inputs in _all(declared):
        kind = resource_type(resource.type)
        if kind is None:
            yield f"{resource.name}: no SDK has {resource.type}"
            continue
        for path, reason in kind.failures(_numbers(inputs)):
            yield f"{resource.name}: {path}: {reason}"


def _numbers(value: JsonValue) -> Any:
    """Whole numbers as int: Pulumi sends all numbers as floats."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _numbers(item) for key, item in value.items()}
        case list():
            return [_numbers(item) for item in value]
        case _:
            return value


def texts(declared: Recorder) -> Iterator[str]:
    """No output was turned into text before it was known."""
    for resource in declared.resources:
        for path, value in _leaves(plain(dict(resource.inputs))):
            if isinstance(value, str) and "Calling __str__" in value:
                yield f"{resource.name}: {path}: an output in a text"


def places(declared: Recorder) -> Iterator[str]:
    """All resources and zones except builds are in the region of their provider."""
    providers = {p.name: plain(dict(p.inputs)) for p in declared.of(_PROVIDER)}
    for resource, inputs in _all(declared):
        if not resource.type.startswith("gcp:"):
            continue
        provider = providers.get(resource.provider.partition("::")[0])
        if provider is None:
            yield f"{resource.name}: has a default provider"
            continue
        region = provider["region"]
        for key in ("location", "region"):
            if resource.type == _TRIGGER:
                continue  # builds are in `build_region`
            if inputs.get(key, region).lower() != region:
                yield f"{resource.name}: {key}: {inputs[key]!r} is not {region!r}"
        if not inputs.get("zone", f"{region}-a").startswith(f"{region}-"):
            yield f"{resource.name}: zone: {inputs['zone']!r} is not in {region!r}"
        if inputs.get("project", provider["project"]) != provider["project"]:
            yield f"{resource.name}: project: not {provider['project']!r}"


def schedules(declared: Recorder) -> Iterator[str]:
    """A schedule has ticks, and its time zone exists."""
    for schedule, inputs in _of(declared, _SCHEDULE):
        try:
            assert len(inputs["schedule"].split()) == 5
            next(CronSim(inputs["schedule"], datetime.now(UTC)))
        except (AssertionError, CronSimError, StopIteration):
            yield f"{schedule.name}: schedule: {inputs['schedule']!r} has no ticks"
        try:
            ZoneInfo(inputs["timeZone"])
        except (KeyError, ValueError, OSError):
            yield f"{schedule.name}: timeZone: {inputs.get('timeZone')!r} does not exist"


def durations(declared: Recorder) -> Iterator[str]:
    """A duration is a number of seconds and an s, within Google's limits."""
    for resource, inputs in _all(declared):
        for path, value in _leaves(inputs):
            key = path.rpartition(".")[2]
            if not isinstance(value, str) or not _DURATION_KEYS.fullmatch(key):
                continue
            if key in {"olderThan", "newerThan"} and re.fullmatch(r"\d+d", value):
                continue  # Artifact Registry also takes days
            found = re.fullmatch(r"(\d+(?:\.\d+)?)s", value)
            if found is None:
                yield f"{resource.name}: {path}: {value!r} is not a duration, such as '60s'"
                continue
            least, most = _LIMITS.get((resource.type, key), (0, float("inf")))
            if not least <= float(found[1]) <= most:
                yield f"{resource.name}: {path}: {value!r} is not {least} s to {most} s"


def targets(declared: Recorder) -> Iterator[str]:
    """A schedule calls Google with POST, an OAuth token, and a body in base64."""
    for schedule, inputs in _of(declared, _SCHEDULE):
        target = inputs["httpTarget"]
        host = re.fullmatch(r"https://([^/]+)/.+", target["uri"])
        if host is None:
            yield f"{schedule.name}: httpTarget.uri: {target['uri']!r} is not an https address"
            continue
        google = host[1].endswith("googleapis.com")
        if ("oauthToken" in target, "oidcToken" in target) != (google, not google):
            yield f"{schedule.name}: httpTarget: {host[1]} needs {'OAuth' if google else 'OIDC'}"
        if google and target.get("httpMethod") != "POST":
            yield f"{schedule.name}: httpTarget.httpMethod: has to be POST"
        try:
            json.loads(base64.b64decode(target.get("body", "e30="), validate=True))
        except (binascii.Error, ValueError):
            yield f"{schedule.name}: httpTarget.body: not JSON in base64"


def machines(declared: Recorder) -> Iterator[str]:
    """A machine has a limit, is never moved or restarted, and starts as its template says."""
    for kind, of_its_kind in ((_TEMPLATE, _template), (_MACHINE, _machine)):
        for machine, inputs in _of(declared, kind):
            scheduling = inputs.get("scheduling", {})
            for fault in (*_scheduling(scheduling), *of_its_kind(inputs, scheduling)):
                yield f"{machine.name}: {fault}"


def _scheduling(scheduling: Any) -> Iterator[str]:
    if scheduling.get("onHostMaintenance") != "TERMINATE":
        yield "scheduling.onHostMaintenance: a GPU needs TERMINATE"
    if scheduling.get("automaticRestart") is not False:
        yield "scheduling.automaticRestart: a restarted machine would train again"
    if not 30 <= scheduling.get("maxRunDuration", {}).get("seconds", 0) <= 120 * 86_400:
        yield "scheduling.maxRunDuration: missing, or beyond Google's limit"
    if scheduling.get("instanceTerminationAction") not in {"DELETE", "STOP"}:
        yield "scheduling.instanceTerminationAction: missing"
    if (scheduling.get("provisioningModel") == "SPOT") != bool(scheduling.get("preemptible")):
        yield "scheduling: SPOT machines, and no others, are preemptible"


def _machine(inputs: Any, scheduling: Any) -> Iterator[str]:
    if "metadata" in inputs:
        yield "metadata: replaces the template's metadata with its start-up"
    if scheduling.get("instanceTerminationAction") == "DELETE":
        yield "scheduling.instanceTerminationAction: DELETE, but Pulumi owns the machine"


def _template(inputs: Any, scheduling: Any) -> Iterator[str]:
    del scheduling
    if "serviceAccount" not in inputs:
        yield "serviceAccount: missing, so the project's default one"
    for gpu in inputs.get("guestAccelerators", []):
        if gpu["count"] < 1:
            yield "guestAccelerators: a count of 0 replaces the instance"
        if _WITH_GPU.match(inputs["machineType"]):
            yield f"guestAccelerators: {inputs['machineType']} has its own GPUs"
    metadata = inputs.get("metadata", {})
    if not metadata.get("user-data", "").startswith("#cloud-config\n"):
        yield "metadata.user-data: no cloud-config"
    for key in ("block-project-ssh-keys", "enable-oslogin"):
        if metadata.get(key, "").lower() != "true":
            yield f"metadata.{key}: lets the project's SSH keys log in"
    for disk in inputs["disks"]:
        if not re.search(r"/family/cos-\d+-lts$", disk.get("sourceImage", "")):
            yield f"disks: {disk.get('sourceImage')!r} is not a long-term milestone"


def deletable(declared: Recorder) -> Iterator[str]:
    """Nothing is protected from deletion, because an account can be removed."""
    # The default is on, except for Compute Engine.
    for resource, inputs in _all(declared):
        kind = resource_type(resource.type)
        protects = kind is not None and kind.has("deletionProtection")
        by_default = not resource.type.startswith("gcp:compute/")
        if protects and inputs.get("deletionProtection", by_default) is not False:
            yield f"{resource.name}: deletionProtection: its deletion would fail"


def names(declared: Recorder) -> Iterator[str]:
    """Google takes every physical name, and it is unique in its project."""
    taken: Counter[tuple[str, ...]] = Counter()
    for resource, inputs in _all(declared):
        if resource.type in (_OBJECT, MANAGED_FOLDER):
            taken[resource.type, inputs["bucket"], inputs["name"]] += 1
        if resource.type not in _NAMES:
            continue
        key, pattern = _NAMES[resource.type]
        name = inputs.get(key)
        if name is None:
            yield f"{resource.name}: {key}: missing"
            continue
        if not re.fullmatch(pattern, name):
            yield f"{resource.name}: {key}: {name!r} is not a name that Google takes ({pattern})"
        if not key.endswith("Prefix"):
            taken[resource.type, resource.provider.partition("::")[0], name] += 1
    for name, times in taken.items():
        if times > 1:
            yield f"{' '.join(name)}: declared {times} times"


def replacements(declared: Recorder) -> Iterator[str]:
    """A resource with a physical name is deleted before its replacement is created."""
    for resource in declared.providers_resources:
        named = resource.type in _NAMES and "Prefix" not in _NAMES[resource.type][0]
        if named and not resource.delete_before_replace:
            yield f"{resource.name}: needs delete_before_replace: two cannot have the same name"


def services(declared: Recorder) -> Iterator[str]:
    """An API stays enabled on destroy, and the resources that need it depend on it."""
    enabled: dict[tuple[str, str], str] = {}
    for service, inputs in _of(declared, _SERVICE):
        enabled[service.key] = inputs["service"].removesuffix(".googleapis.com")
        if inputs.get("disableOnDestroy") is not False:
            yield f"{service.name}: disableOnDestroy: other stacks may use the API"
    before = _dependencies(declared)
    for resource in declared.of_google:
        if resource.type == _SERVICE:
            continue
        try:
            api = apis.api_of(resource.type)
        except KeyError:
            yield f"{resource.name}: {apis.__name__} does not say which API it needs"
            continue
        if api not in {enabled.get(needed) for needed in before[resource.key]}:
            yield f"{resource.name}: does not depend on the service {api!r}"


def _dependencies(declared: Recorder) -> Mapping[tuple[str, str], frozenset[tuple[str, str]]]:
    """All that each resource depends on, directly or not."""
    direct = {resource.key: resource.needs for resource in declared.resources}
    found: dict[tuple[str, str], frozenset[tuple[str, str]]] = {}

    def before(key: tuple[str, str]) -> frozenset[tuple[str, str]]:
        if key not in found:
            needs = direct.get(key, frozenset())
            found[key] = needs.union(*(before(needed) for needed in needs))
        return found[key]

    for key in direct:
        before(key)
    return found


def order(declared: Recorder) -> Iterator[str]:
    """A grant precedes what needs it, and a build's trigger the pointer that starts the build."""
    before = _dependencies(declared)
    for resource, inputs in _all(declared):
        needed = _GRANTED_FIRST.get(resource.type)
        if resource.type == _RUN_JOB and "SECRET" in str(_containers(inputs)):
            needed = "gcp:secretmanager/secretIamMember:SecretIamMember"
        if resource.type == _OBJECT and inputs["name"].startswith("rollout/"):
            needed = "gcp:cloudbuild/trigger:Trigger"
        if needed and not any(kind.startswith(needed) for kind, _ in before[resource.key]):
            yield f"{resource.name}: does not depend on any {needed}"
        lists = resource.type in _LIST_AT_ONCE
        if lists and not any(kind == BUCKET_BINDING for kind, _ in before[resource.key]):
            yield f"{resource.name}: does not depend on the grant to list"


def secrets(declared: Recorder) -> Iterator[str]:
    """No secret's value passes through Pulumi."""
    for resource, inputs in _all(declared):
        if resource.type == "gcp:secretmanager/secretVersion:SecretVersion":
            yield f"{resource.name}: a version would hide the operator's"
        for path, value in _leaves(inputs):
            key = path.rpartition(".")[2]
            if key in {"password", "secretData", "secretDataWo"} and value:
                yield f"{resource.name}: {path}: a secret's value"
    held = {f"{s.name}-id" for s in declared.any_of("gcp:secretmanager/secret:Secret")}
    for kind in (_RUN_JOB, "gcp:cloudrunv2/service:Service"):
        for resource, inputs in _of(declared, kind):
            for container in _containers(inputs):
                for one in container.get("envs", []):
                    secret = re.search("SECRET|TOKEN|KEYS?$|PASSWORD", one["name"])
                    if secret and "valueSource" not in one and one["value"] not in held:
                        yield f"{resource.name}: {one['name']}: not the name of a secret"


def buckets(declared: Recorder) -> Iterator[str]:
    """A bucket is private and versioned, and deletes only old versions and stale uploads."""
    for bucket, inputs in _of(declared, "gcp:storage/bucket:Bucket"):
        if inputs.get("publicAccessPrevention") != "enforced":
            yield f"{bucket.name}: publicAccessPrevention: not enforced"
        if inputs.get("uniformBucketLevelAccess") is not True:
            yield f"{bucket.name}: uniformBucketLevelAccess: off, but conditions need it"
        if inputs.get("versioning") != {"enabled": True}:
            yield f"{bucket.name}: versioning: off"
        for rule in inputs.get("lifecycleRules", []):
            stale = rule["action"]["type"] == "AbortIncompleteMultipartUpload"
            if not stale and rule["condition"].get("withState") != "ARCHIVED":
                yield f"{bucket.name}: lifecycleRules: deletes live objects"


def grants(declared: Recorder) -> Iterator[str]:
    """A grant is for one member and a known role, and has prefixes if it is on objects."""
    custom = {role.inputs["roleId"] for role in declared.any_of(CUSTOM_ROLE)}
    made: Counter[Any] = Counter()
    for resource, inputs in _all(declared):
        if re.search("(Iam|IAM)Member$", resource.type):
            for fault in _member(inputs, custom):
                yield f"{resource.name}: {fault}"
        if resource.type in GRANTED_ON:
            try:
                for grant in grants_of(resource.type, {"project": "p", **inputs}):
                    made[resource.provider, grant] += 1
            except ValueError as error:
                yield f"{resource.name}: condition: {error}"
    for (_, grant), times in made.items():
        if times > 1:
            yield f"{grant}: granted {times} times"


def bindings(declared: Recorder) -> Iterator[str]:
    """Nothing overwrites the grants of others, except the one binding of the role to list."""
    for resource, inputs in _all(declared):
        if resource.type == BUCKET_BINDING and inputs["role"] == LIST:
            for fault in _binding(inputs):
                yield f"{resource.name}: {fault}"
        elif re.search("(Iam|IAM)(Binding|Policy|AuditConfig)$", resource.type):
            yield f"{resource.name}: overwrites the grants of others; declare a member"


def folders(declared: Recorder) -> Iterator[str]:
    """A grant on a folder is on a declared folder."""
    known = {(r.inputs["bucket"], r.inputs["name"]) for r in declared.any_of(MANAGED_FOLDER)}
    for resource, inputs in _all(declared):
        folder = inputs.get("managedFolder")
        if folder is not None and (inputs["bucket"], folder) not in known:
            yield f"{resource.name}: managedFolder: {folder!r} is not declared"


def _member(inputs: Any, custom: set[str]) -> Iterator[str]:
    role, member = inputs["role"], inputs["member"]
    if role not in ROLES and role.rpartition("/")[2] not in custom:
        yield f"role: {role!r} is not known"
    if not re.fullmatch(r"serviceAccount:[^@\s]+@[^@\s]+", member) and member != "allUsers":
        yield f"member: {member!r} is not a service account"
    under = inputs.get("condition", {}).get("expression", "")
    folder = inputs.get("managedFolder", "")
    if role.startswith("roles/storage.object") and "/objects/" not in under and not folder:
        yield f"condition: {role} on the whole bucket"
    if role == LIST:
        yield f"role: {role} of one member, which the binding overwrites"


def _binding(inputs: Any) -> Iterator[str]:
    service_accounts = [m for m in inputs["members"] if not m.startswith("projectViewer:")]
    for member in service_accounts:
        if not re.fullmatch(r"serviceAccount:[^@\s]+@[^@\s]+", member):
            yield f"members: {member!r} is not a service account"
    if len(service_accounts) == len(inputs["members"]):
        yield "members: without the project's viewers, to whom Google grants it on each bucket"


def images(declared: Recorder) -> Iterator[str]:
    """An image is named by digest, or is the account's `:live`, and is built for linux/amd64."""
    for kind in (_RUN_JOB, "gcp:cloudrunv2/service:Service"):
        for resource, inputs in _of(declared, kind):
            for container in _containers(inputs):
                live = container["image"].endswith(":live")
                if not live and not re.search("@sha256:[0-9a-f]{64}$", container["image"]):
                    image = container["image"]
                    yield f"{resource.name}: image: {image!r} is neither by digest nor `:live`"
                if live and kind != _RUN_JOB:
                    yield f"{resource.name}: image: a service looks up a tag only once"
    for resource, inputs in _of(declared, "docker:index/image:Image"):
        if inputs.get("build", {}).get("platform") != "linux/amd64":
            yield f"{resource.name}: build.platform: not linux/amd64"
    for resource in declared.any_of("docker-build:index:Index"):
        if not resource.retain_on_delete or "*" not in resource.ignore_changes:
            yield f"{resource.name}: would overwrite or delete the live release"


def builds(declared: Recorder) -> Iterator[str]:
    """A build gets text from outside only as values, and says where its log goes."""
    for trigger, inputs in _of(declared, "gcp:cloudbuild/trigger:Trigger"):
        if ("build" in inputs) + ("filename" in inputs) + ("gitFileSource" in inputs) != 1:
            yield f"{trigger.name}: needs exactly one of build, filename and gitFileSource"
            continue
        if "filter" not in inputs:
            yield f"{trigger.name}: filter: missing, so every event would build"
        logging = inputs["build"].get("options", {}).get("logging")
        if "serviceAccount" not in inputs or logging != "CLOUD_LOGGING_ONLY":
            yield f"{trigger.name}: serviceAccount and CLOUD_LOGGING_ONLY need each other"
        known = set(inputs.get("substitutions", {}))
        for step in inputs["build"]["steps"]:
            spliced = re.findall(
                r"\$\{?(_[A-Z_]+)", json.dumps([step.get("script"), step.get("args")])
            )
            if set(spliced) & known:
                yield f"{trigger.name}: {step.get('id')}: {spliced} in the text of a script"
            used = re.findall(r"\$\{?(_[A-Z_]+)", json.dumps(step.get("envs", [])))
            if unknown := set(used) - known:
                yield f"{trigger.name}: {step.get('id')}: {unknown} is not a substitution"


def notifications(declared: Recorder) -> Iterator[str]:
    """A notification is only about events that the build's trigger understands."""
    for notification, inputs in _of(declared, "gcp:storage/notification:Notification"):
        if (inputs["payloadFormat"], inputs.get("eventTypes")) != _EVENTS:
            yield f"{notification.name}: not {_EVENTS}"
        if not inputs.get("objectNamePrefix"):
            yield f"{notification.name}: objectNamePrefix: missing, so every upload would notify"


# These rely on inputs of the right types.
RULES = (
    texts, places, schedules, durations, targets, machines, deletable, names, replacements,
    services, order, secrets, buckets, grants, bindings, folders, images, builds, notifications,
)  # fmt: skip


def faults(declared: Recorder) -> list[str]:
    """All faults with their rules; only those of `types`, if there are any."""
    return [f"types: {fault}" for fault in types(declared)] or [
        f"{rule.__name__}: {fault}" for rule in RULES for fault in rule(declared)
    ]
