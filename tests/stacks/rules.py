"""What must hold of everything that the program declares: one function a rule, each yields faults.

Beyond these rules stand the models of the stack file, the SDK's own classes, and the recorder.
`faults` runs them all; `tests.stacks.planted` shows that each catches what it is for.
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

from local import apis
from local.iam import ROLES
from local.provider.schema import resource_type
from local.provider.wire import MARKER
from local.services.iam import BUCKET_BINDING, CUSTOM_ROLE, GRANTED_ON, MANAGED_FOLDER, grants_of
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
# The input with the physical name, and what Google takes for one.
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
# Seconds that Google takes, by type and key; other durations only have to be ones.
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


def plain(value: Any) -> Any:
    """Inputs without the marks of secrets."""
    match value:
        case dict() if MARKER in value and "value" in value:
            return plain(value["value"])
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of everything inside nested inputs, containers included."""
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
    """Every input is one that the SDK's type has, of its scalar type, of its enum."""
    for resource, inputs in _all(declared):
        kind = resource_type(resource.type)
        if kind is None:
            yield f"{resource.name}: no SDK has {resource.type}"
            continue
        for path, reason in kind.faults(_numbers(inputs)):
            yield f"{resource.name}: {path}: {reason}"


def _numbers(value: Any) -> Any:
    """Whole numbers as such: on the wire all are floats."""
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
    """Everything but builds is in its provider's region; its zones are as well."""
    providers = {p.name: plain(dict(p.inputs)) for p in declared.of(_PROVIDER)}
    for resource, inputs in _all(declared):
        if not resource.type.startswith("gcp:"):
            continue
        provider = providers.get(resource.provider.partition("::")[0])
        if provider is None:
            yield f"{resource.name}: left to a default provider"
            continue
        region = provider["region"]
        for key in ("location", "region"):
            if resource.type == _TRIGGER:
                continue  # builds are where the project may build
            if inputs.get(key, region).lower() != region:
                yield f"{resource.name}: {key}: {inputs[key]!r} is not {region!r}"
        if not inputs.get("zone", f"{region}-a").startswith(f"{region}-"):
            yield f"{resource.name}: zone: {inputs['zone']!r} is not in {region!r}"
        if inputs.get("project", provider["project"]) != provider["project"]:
            yield f"{resource.name}: project: not {provider['project']!r}"


def schedules(declared: Recorder) -> Iterator[str]:
    """A schedule comes, in a time zone that there is."""
    for schedule, inputs in _of(declared, _SCHEDULE):
        try:
            assert len(inputs["schedule"].split()) == 5
            next(CronSim(inputs["schedule"], datetime.now(UTC)))
        except (AssertionError, CronSimError, StopIteration):
            yield f"{schedule.name}: schedule: {inputs['schedule']!r} never comes"
        try:
            ZoneInfo(inputs["timeZone"])
        except (KeyError, ValueError, OSError):
            yield f"{schedule.name}: timeZone: there is no {inputs.get('timeZone')!r}"


def durations(declared: Recorder) -> Iterator[str]:
    """A duration is seconds with an s, within its limits."""
    for resource, inputs in _all(declared):
        for path, value in _leaves(inputs):
            key = path.rpartition(".")[2]
            if not isinstance(value, str) or not _DURATION_KEYS.fullmatch(key):
                continue
            if key in {"olderThan", "newerThan"} and re.fullmatch(r"\d+d", value):
                continue  # Artifact Registry's, which takes days as well
            found = re.fullmatch(r"(\d+(?:\.\d+)?)s", value)
            if found is None:
                yield f"{resource.name}: {path}: {value!r} is no duration, such as '60s'"
                continue
            least, most = _LIMITS.get((resource.type, key), (0, float("inf")))
            if not least <= float(found[1]) <= most:
                yield f"{resource.name}: {path}: {value!r} is not {least} s to {most} s"


def targets(declared: Recorder) -> Iterator[str]:
    """A schedule calls as Google wants to be called: POST, OAuth, a body in base64."""
    for schedule, inputs in _of(declared, _SCHEDULE):
        target = inputs["httpTarget"]
        host = re.fullmatch(r"https://([^/]+)/.+", target["uri"])
        if host is None:
            yield f"{schedule.name}: httpTarget.uri: {target['uri']!r} is no https address"
            continue
        google = host[1].endswith("googleapis.com")
        if ("oauthToken" in target, "oidcToken" in target) != (google, not google):
            yield f"{schedule.name}: httpTarget: {host[1]} takes {'OAuth' if google else 'OIDC'}"
        if google and target.get("httpMethod") != "POST":
            yield f"{schedule.name}: httpTarget.httpMethod: starting something is a POST"
        try:
            json.loads(base64.b64decode(target.get("body", "e30="), validate=True))
        except (binascii.Error, ValueError):
            yield f"{schedule.name}: httpTarget.body: not JSON in base64"


def machines(declared: Recorder) -> Iterator[str]:
    """A machine ends by its limit, is never moved or restarted, and starts as its template says."""
    for kind, of_its_kind in ((_TEMPLATE, _template), (_MACHINE, _machine)):
        for machine, inputs in _of(declared, kind):
            scheduling = inputs.get("scheduling", {})
            for fault in (*_scheduling(scheduling), *of_its_kind(inputs, scheduling)):
                yield f"{machine.name}: {fault}"


def _scheduling(scheduling: Any) -> Iterator[str]:
    if scheduling.get("onHostMaintenance") != "TERMINATE":
        yield "scheduling.onHostMaintenance: a GPU needs TERMINATE"
    if scheduling.get("automaticRestart") is not False:
        yield "scheduling.automaticRestart: it would train again"
    if not 30 <= scheduling.get("maxRunDuration", {}).get("seconds", 0) <= 120 * 86_400:
        yield "scheduling.maxRunDuration: none, or beyond Google's"
    if scheduling.get("instanceTerminationAction") not in {"DELETE", "STOP"}:
        yield "scheduling.instanceTerminationAction: none"
    if (scheduling.get("provisioningModel") == "SPOT") != bool(scheduling.get("preemptible")):
        yield "scheduling: SPOT is preemptible, and nothing else is"


def _machine(inputs: Any, scheduling: Any) -> Iterator[str]:
    if "metadata" in inputs:
        yield "metadata: replaces the template's, its start-up included"
    if scheduling.get("instanceTerminationAction") == "DELETE":
        yield "scheduling.instanceTerminationAction: deletes what Pulumi owns"


def _template(inputs: Any, scheduling: Any) -> Iterator[str]:
    del scheduling
    if "serviceAccount" not in inputs:
        yield "serviceAccount: the project's default one"
    for gpu in inputs.get("guestAccelerators", []):
        if gpu["count"] < 1:
            yield "guestAccelerators: count 0 replaces the instance"
        if _WITH_GPU.match(inputs["machineType"]):
            yield f"guestAccelerators: {inputs['machineType']} has its own"
    metadata = inputs.get("metadata", {})
    if not metadata.get("user-data", "").startswith("#cloud-config\n"):
        yield "metadata.user-data: no cloud-config"
    for key in ("block-project-ssh-keys", "enable-oslogin"):
        if metadata.get(key, "").lower() != "true":
            yield f"metadata.{key}: whoever has a key in the project may log in"
    for disk in inputs["disks"]:
        if not re.search(r"/family/cos-\d+-lts$", disk.get("sourceImage", "")):
            yield f"disks: {disk.get('sourceImage')!r} is no long-term milestone, and moves"


def deletable(declared: Recorder) -> Iterator[str]:
    """Nothing is protected from deletion, since an account can be removed."""
    # On by default but for machines, where it is off.
    for resource, inputs in _all(declared):
        kind = resource_type(resource.type)
        protects = kind is not None and kind.has("deletionProtection")
        by_default = not resource.type.startswith("gcp:compute/")
        if protects and inputs.get("deletionProtection", by_default) is not False:
            yield f"{resource.name}: deletionProtection: removing it would fail"


def names(declared: Recorder) -> Iterator[str]:
    """A physical name is one that Google takes, and unique in its project."""
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
            yield f"{resource.name}: {key}: {name!r} is none that Google takes ({pattern})"
        if not key.endswith("Prefix"):
            taken[resource.type, resource.provider.partition("::")[0], name] += 1
    for name, times in taken.items():
        if times > 1:
            yield f"{' '.join(name)}: declared {times} times"


def replacements(declared: Recorder) -> Iterator[str]:
    """What has a name of its own goes before its like comes."""
    for resource in declared.providers_resources:
        named = resource.type in _NAMES and "Prefix" not in _NAMES[resource.type][0]
        if named and not resource.delete_before_replace:
            yield f"{resource.name}: two cannot bear one name: delete_before_replace"


def services(declared: Recorder) -> Iterator[str]:
    """An API stays enabled on destroy, and all that is made with it stands on it."""
    enabled: dict[tuple[str, str], str] = {}
    for service, inputs in _of(declared, _SERVICE):
        enabled[service.key] = inputs["service"].removesuffix(".googleapis.com")
        if inputs.get("disableOnDestroy") is not False:
            yield f"{service.name}: disableOnDestroy: others of the project may use it"
    behind = _behind(declared)
    for resource in declared.of_google:
        if resource.type == _SERVICE:
            continue
        try:
            api = apis.api_of(resource.type)
        except KeyError:
            yield f"{resource.name}: which API is behind it? Say so in {apis.__name__}"
            continue
        if api not in {enabled.get(needed) for needed in behind[resource.key]}:
            yield f"{resource.name}: does not stand on the service {api!r}"


def _behind(declared: Recorder) -> Mapping[tuple[str, str], frozenset[tuple[str, str]]]:
    """All that each resource stands on, directly or not."""
    direct = {resource.key: resource.needs for resource in declared.resources}
    found: dict[tuple[str, str], frozenset[tuple[str, str]]] = {}

    def behind(key: tuple[str, str]) -> frozenset[tuple[str, str]]:
        if key not in found:
            needs = direct.get(key, frozenset())
            found[key] = needs.union(*(behind(needed) for needed in needs))
        return found[key]

    for key in direct:
        behind(key)
    return found


def order(declared: Recorder) -> Iterator[str]:
    """A grant comes before what needs it, and a build before the pointer that starts it."""
    behind = _behind(declared)
    for resource, inputs in _all(declared):
        needed = _GRANTED_FIRST.get(resource.type)
        if resource.type == _RUN_JOB and "SECRET" in str(_containers(inputs)):
            needed = "gcp:secretmanager/secretIamMember:SecretIamMember"
        if resource.type == _OBJECT and inputs["name"].startswith("rollout/"):
            needed = "gcp:cloudbuild/trigger:Trigger"
        if needed and not any(kind.startswith(needed) for kind, _ in behind[resource.key]):
            yield f"{resource.name}: stands on no {needed}"
        lists = resource.type in _LIST_AT_ONCE
        if lists and not any(kind == BUCKET_BINDING for kind, _ in behind[resource.key]):
            yield f"{resource.name}: lists before it may"


def secrets(declared: Recorder) -> Iterator[str]:
    """No secret's value passes through Pulumi."""
    for resource, inputs in _all(declared):
        if resource.type == "gcp:secretmanager/secretVersion:SecretVersion":
            yield f"{resource.name}: a version would shadow the operator's"
        for path, value in _leaves(inputs):
            key = path.rpartition(".")[2]
            if key in {"password", "secretData", "secretDataWo"} and value:
                yield f"{resource.name}: {path}: a secret's value"
    held = {f"{s.name}-id" for s in declared.of("gcp:secretmanager/secret:Secret")}
    for kind in (_RUN_JOB, "gcp:cloudrunv2/service:Service"):
        for resource, inputs in _of(declared, kind):
            for container in _containers(inputs):
                for one in container.get("envs", []):
                    secret = re.search("SECRET|TOKEN|KEYS?$|PASSWORD", one["name"])
                    if secret and "valueSource" not in one and one["value"] not in held:
                        yield f"{resource.name}: {one['name']}: not the name of a secret"


def buckets(declared: Recorder) -> Iterator[str]:
    """A bucket is private, keeps versions, and loses old ones and stale uploads only."""
    for bucket, inputs in _of(declared, "gcp:storage/bucket:Bucket"):
        if inputs.get("publicAccessPrevention") != "enforced":
            yield f"{bucket.name}: publicAccessPrevention: not enforced"
        if inputs.get("uniformBucketLevelAccess") is not True:
            yield f"{bucket.name}: uniformBucketLevelAccess: conditions need it"
        if inputs.get("versioning") != {"enabled": True}:
            yield f"{bucket.name}: versioning: off"
        for rule in inputs.get("lifecycleRules", []):
            stale = rule["action"]["type"] == "AbortIncompleteMultipartUpload"
            if not stale and rule["condition"].get("withState") != "ARCHIVED":
                yield f"{bucket.name}: lifecycleRules: deletes what is live"


def grants(declared: Recorder) -> Iterator[str]:
    """A grant is one member's, of a role that there is, under prefixes where it is on objects."""
    custom = {role.inputs["roleId"] for role in declared.of(CUSTOM_ROLE)}
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
    """Nothing undoes the grants of others, but the one binding that lets all list who may."""
    for resource, inputs in _all(declared):
        if resource.type == BUCKET_BINDING and inputs["role"] == LIST:
            for fault in _binding(inputs):
                yield f"{resource.name}: {fault}"
        elif re.search("(Iam|IAM)(Binding|Policy|AuditConfig)$", resource.type):
            yield f"{resource.name}: would undo the grants of others; declare a member"


def folders(declared: Recorder) -> Iterator[str]:
    """A grant on a folder is on one that is declared."""
    known = {(r.inputs["bucket"], r.inputs["name"]) for r in declared.of(MANAGED_FOLDER)}
    for resource, inputs in _all(declared):
        folder = inputs.get("managedFolder")
        if folder is not None and (inputs["bucket"], folder) not in known:
            yield f"{resource.name}: managedFolder: {folder!r} is not declared"


def _member(inputs: Any, custom: set[str]) -> Iterator[str]:
    role, member = inputs["role"], inputs["member"]
    if role not in ROLES and role.rpartition("/")[2] not in custom:
        yield f"role: {role!r} is not known"
    if not re.fullmatch(r"serviceAccount:[^@\s]+@[^@\s]+", member) and member != "allUsers":
        yield f"member: {member!r} is no service account"
    under = inputs.get("condition", {}).get("expression", "")
    folder = inputs.get("managedFolder", "")
    if role.startswith("roles/storage.object") and "/objects/" not in under and not folder:
        yield f"condition: {role} on the whole bucket"
    if role == LIST:
        yield f"role: {role} of one member, which the binding undoes"


def _binding(inputs: Any) -> Iterator[str]:
    service_accounts = [m for m in inputs["members"] if not m.startswith("projectViewer:")]
    for member in service_accounts:
        if not re.fullmatch(r"serviceAccount:[^@\s]+@[^@\s]+", member):
            yield f"members: {member!r} is no service account"
    if len(service_accounts) == len(inputs["members"]):
        yield "members: without the project's viewers, who have it of every new bucket"


def images(declared: Recorder) -> Iterator[str]:
    """What runs is an image by digest, or the account's `:live`; both for the cloud's machines."""
    for kind in (_RUN_JOB, "gcp:cloudrunv2/service:Service"):
        for resource, inputs in _of(declared, kind):
            for container in _containers(inputs):
                live = container["image"].endswith(":live")
                if not live and not re.search("@sha256:[0-9a-f]{64}$", container["image"]):
                    yield f"{resource.name}: image: {container['image']!r} may change unseen"
                if live and kind != _RUN_JOB:
                    yield f"{resource.name}: image: a service looks a tag up once only"
    for resource, inputs in _of(declared, "docker:index/image:Image"):
        if inputs.get("build", {}).get("platform") != "linux/amd64":
            yield f"{resource.name}: build.platform: not linux/amd64"
    for resource in declared.of("docker-build:index:Index"):
        if not resource.retain_on_delete or "*" not in resource.ignore_changes:
            yield f"{resource.name}: would be pushed over the live release, or take it along"


def builds(declared: Recorder) -> Iterator[str]:
    """A build has its text from outside as values only, and writes its log."""
    for trigger, inputs in _of(declared, "gcp:cloudbuild/trigger:Trigger"):
        if ("build" in inputs) + ("filename" in inputs) + ("gitFileSource" in inputs) != 1:
            yield f"{trigger.name}: none or several of build, filename, gitFileSource"
            continue
        if "filter" not in inputs:
            yield f"{trigger.name}: filter: every event would build"
        logging = inputs["build"].get("options", {}).get("logging")
        if "serviceAccount" not in inputs or logging != "CLOUD_LOGGING_ONLY":
            yield f"{trigger.name}: an account of one's own, and CLOUD_LOGGING_ONLY, need another"
        known = set(inputs.get("substitutions", {}))
        for step in inputs["build"]["steps"]:
            spliced = re.findall(
                r"\$\{?(_[A-Z_]+)", json.dumps([step.get("script"), step.get("args")])
            )
            if set(spliced) & known:
                yield f"{trigger.name}: {step.get('id')}: {spliced} spliced into the script"
            used = re.findall(r"\$\{?(_[A-Z_]+)", json.dumps(step.get("envs", [])))
            if unknown := set(used) - known:
                yield f"{trigger.name}: {step.get('id')}: {unknown} is no substitution"


def notifications(declared: Recorder) -> Iterator[str]:
    """A notification is of the events that the build's trigger understands, and of no others."""
    for notification, inputs in _of(declared, "gcp:storage/notification:Notification"):
        if (inputs["payloadFormat"], inputs.get("eventTypes")) != _EVENTS:
            yield f"{notification.name}: not {_EVENTS}"
        if not inputs.get("objectNamePrefix"):
            yield f"{notification.name}: objectNamePrefix: every upload would build"


# These go by what `types` has seen to.
RULES = (
    texts, places, schedules, durations, targets, machines, deletable, names, replacements,
    services, order, secrets, buckets, grants, bindings, folders, images, builds, notifications,
)  # fmt: skip


def faults(declared: Recorder) -> list[str]:
    """Everything that is wrong, each with the rule that says so; what is mistyped first."""
    return [f"types: {fault}" for fault in types(declared)] or [
        f"{rule.__name__}: {fault}" for rule in RULES for fault in rule(declared)
    ]
