"""Mistakes planted in the program, in what it registers, and in its stack file.

`python -m tests.stacks.planted` prints which check catches which mistake.
"""

import copy
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pulumi

from tests.stacks import calls, granted, rules
from tests.stacks.recorder import ROOT, Declared, Recorder, declare

_ACCOUNT = "gcp:serviceaccount/account:Account"
_BUCKET = "gcp:storage/bucket:Bucket"
_BUCKET_GRANT = "gcp:storage/bucketIAMMember:BucketIAMMember"
_LISTING = "gcp:storage/bucketIAMBinding:BucketIAMBinding"
_FOLDER_GRANT = "gcp:storage/managedFolderIamMember:ManagedFolderIamMember"
_RUN_SERVICE = "gcp:cloudrunv2/service:Service"
_BUILD = "gcp:cloudbuild/trigger:Trigger"
_INDEX = "docker-build:index:Index"
_JOB = "gcp:cloudrunv2/job:Job"
_MACHINE = "gcp:compute/instanceFromTemplate:InstanceFromTemplate"
_NOTIFICATION = "gcp:storage/notification:Notification"
_REGISTRY = "gcp:artifactregistry/repository:Repository"
_SCHEDULE = "gcp:cloudscheduler/job:Job"
_SECRET = "gcp:secretmanager/secret:Secret"
_SECRET_GRANT = "gcp:secretmanager/secretIamMember:SecretIamMember"
_SERVICE = "gcp:projects/service:Service"
_TEMPLATE = "gcp:compute/instanceTemplate:InstanceTemplate"
_TOPIC = "gcp:pubsub/topic:Topic"
_TOPIC_GRANT = "gcp:pubsub/topicIAMMember:TopicIAMMember"
_OBJECT = "gcp:storage/bucketObject:BucketObject"
_JOB_GRANT = "gcp:cloudrunv2/jobIamMember:JobIamMember"
_LOG_GRANT = "gcp:projects/iAMMember:IAMMember"
_PUSH_GRANT = "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember"

_CONTAINER = "template.template.containers.0"
_LEFT_OUT = object()

Plant = Callable[[Recorder], None]


@dataclass(frozen=True)
class InProgram:
    """A mistake in the program's text: `new` in place of `old`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class InStackFile:
    """A mistake in the stack file: `value` at a dotted path of keys."""

    path: str
    value: Any


def put(kind: str, path: str, value: Any, name: str = "") -> Plant:
    """Set or leave out one input of the first resource of a type (and name)."""

    def plant(declared: Recorder) -> None:
        where: Any = _first(declared, kind, name).inputs
        *before, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in before:
            where = where[part]
        if value is _LEFT_OUT:
            del where[last]
        else:
            where[last] = value

    return plant


def rename(kind: str, path: str, old: str, new: str) -> Plant:
    """Misspell a key, as a dict literal could."""

    def plant(declared: Recorder) -> None:
        where: Any = _first(declared, kind, "").inputs
        for part in filter(None, path.split(".")):
            where = where[int(part) if part.isdigit() else part]
        where[new] = where.pop(old)

    return plant


def change(kind: str, **options: Any) -> Plant:
    """Change options of the first resource of a type."""

    def plant(declared: Recorder) -> None:
        found = _first(declared, kind, "")
        declared.resources[declared.resources.index(found)] = replace(found, **options)

    return plant


def remove(kind: str, name: str = "") -> Plant:
    """Leave out the first resource of a type (and name); nothing depends on it any more."""

    def plant(declared: Recorder) -> None:
        gone = _first(declared, kind, name)
        declared.resources[:] = [
            replace(r, needs=r.needs - {gone.key}) for r in declared.resources if r is not gone
        ]

    return plant


def again(kind: str, **inputs: Any) -> Plant:
    """Declare the first resource of a type again, with another name and other inputs."""

    def plant(declared: Recorder) -> None:
        found = copy.deepcopy(_first(declared, kind, ""))
        more = replace(found, name=f"{found.name}-again", inputs={**found.inputs, **inputs})
        declared.resources.append(more)

    return plant


def alien(kind: str, **inputs: Any) -> Plant:
    """Declare a resource of a type that the program does not use."""

    def plant(declared: Recorder) -> None:
        bucket = _first(declared, _BUCKET, "")
        declared.resources.append(replace(bucket, type=kind, name="alien", inputs=inputs))

    return plant


def _first(declared: Recorder, kind: str, name: str) -> Declared:
    return declared.of(kind, lambda r: name in r.name)[0]


# Errors that are exceptions, and what raises them.
_EXPECTED = {"declared twice": "the recorder", "Calling __str__ on an Output": "Pulumi"}

MISTAKES: dict[str, Plant | InProgram | InStackFile] = {
    # Keys, scalars, enums: the SDK's own types.
    "a misspelt nested key": rename(_JOB, _CONTAINER, "image", "imag"),
    "a misspelt top key": rename(_BUCKET, "", "forceDestroy", "forceDestory"),
    "a key in Python's spelling": rename(_SCHEDULE, "", "timeZone", "time_zone"),
    "a nested key one level too high": put(_JOB, "timeout", "600s"),
    "a key of another resource": put(_BUCKET, "schedule", "0 9 * * *"),
    "a missing required key": put(_SCHEDULE, "httpTarget.uri", _LEFT_OUT),
    "a text for a number": put(_JOB, "template.template.maxRetries", "one"),
    "a number for a text": put(_JOB, "template.template.timeout", 600),
    "a text for a truth value": put(_BUCKET, "forceDestroy", "yes"),
    "an object for a list": put(_BUCKET, "lifecycleRules", {"action": {"type": "Delete"}}),
    "a list for an object": put(_BUCKET, "versioning", [{"enabled": True}]),
    "a fraction for a whole number": put(_TEMPLATE, "disks.0.diskSizeGb", 20.5),
    "a bad enum": put(_JOB, "template.template.executionEnvironment", "GEN2"),
    "a format that Storage does not have": put(_NOTIFICATION, "payloadFormat", "JSON"),
    "an event that Storage does not have": put(_NOTIFICATION, "eventTypes", ["OBJECT_FINALISE"]),
    "a resource that no SDK has": alien("gcp:cloudrunv2/jobs:Jobs", name="x"),
    # Places and times.
    "a region that is not the stack's": put(_JOB, "location", "us-central1"),
    "a bucket elsewhere": put(_BUCKET, "location", "US"),
    "a zone outside the region": put(_MACHINE, "zone", "us-central1-a"),
    "another project": put(_SERVICE, "project", "somebody-elses"),
    "a resource of a default provider": change(_BUCKET, provider=""),
    "a cron expression of six fields": put(_SCHEDULE, "schedule", "0 0 9 * * *"),
    "a schedule that never comes": put(_SCHEDULE, "schedule", "0 0 30 2 *"),
    "a time zone that does not exist": put(_SCHEDULE, "timeZone", "Europe/Amsterdam-West"),
    "a duration without a unit": put(_SCHEDULE, "attemptDeadline", "60"),
    "a duration in minutes": put(_JOB, "template.template.timeout", "10m"),
    "a duration beyond Google's limit": put(_SCHEDULE, "attemptDeadline", "3600s"),
    # Calls.
    "a body that is not encoded": put(_SCHEDULE, "httpTarget.body", '{"overrides": {}}'),
    "OIDC where OAuth is needed": rename(_SCHEDULE, "httpTarget", "oauthToken", "oidcToken"),
    "no token at all": put(_SCHEDULE, "httpTarget.oauthToken", _LEFT_OUT),
    "GET where POST is needed": put(_SCHEDULE, "httpTarget.httpMethod", "GET"),
    "an address without https": put(_SCHEDULE, "httpTarget.uri", "run.googleapis.com/v2/x:run"),
    # Machines.
    "missing TERMINATE": put(_TEMPLATE, "scheduling.onHostMaintenance", _LEFT_OUT),
    "MIGRATE for a GPU": put(_MACHINE, "scheduling.onHostMaintenance", "MIGRATE"),
    "a machine that restarts": put(_TEMPLATE, "scheduling.automaticRestart", True),
    "a machine without a limit": put(_TEMPLATE, "scheduling.maxRunDuration", _LEFT_OUT),
    "SPOT that is not preemptible": put(_TEMPLATE, "scheduling.provisioningModel", "SPOT"),
    "a machine of the default account": put(_TEMPLATE, "serviceAccount", _LEFT_OUT),
    "a GPU beside a bundled one": put(
        _TEMPLATE, "guestAccelerators", [{"type": "nvidia-tesla-t4", "count": 1}]
    ),
    "a machine that takes the project's SSH keys": put(
        _TEMPLATE, "metadata.block-project-ssh-keys", _LEFT_OUT
    ),
    "a machine without OS Login": put(_TEMPLATE, "metadata.enable-oslogin", "FALSE"),
    "an operating system that changes": put(
        _TEMPLATE, "disks.0.sourceImage", "projects/cos-cloud/global/images/family/cos-stable"
    ),
    "metadata in place of the template's": put(_MACHINE, "metadata", {"run": "first"}),
    "a machine that deletes what Pulumi owns": put(
        _MACHINE, "scheduling.instanceTerminationAction", "DELETE"
    ),
    # Removal and replacement.
    "deletion protection left on": put(_JOB, "deletionProtection", _LEFT_OUT),
    "deletion protection of a secret": put(_SECRET, "deletionProtection", True),
    "a service disabled on destroy": put(_SERVICE, "disableOnDestroy", _LEFT_OUT),
    "two of one name during a replacement": change(
        _TOPIC, delete_before_replace=False
    ),
    "a first tag that is pushed again": change(_INDEX, ignore_changes=()),
    "a first tag that is deleted": change(_INDEX, retain_on_delete=False),
    # Names.
    "a duplicated name": again(_JOB),
    "an object written twice": again(_OBJECT),
    "a name over its limit": put(_ACCOUNT, "accountId", "a" * 31),
    "a name that is too short": put(_ACCOUNT, "accountId", "bot"),
    "a name in capitals": put(_BUCKET, "name", "My-Bucket"),
    "a registry without a name": put(_REGISTRY, "repositoryId", _LEFT_OUT),
    # Order.
    "a notification before its grant": change(_NOTIFICATION, needs=frozenset()),
    "a schedule before its grant": remove(_JOB_GRANT),
    "an API that is not enabled": remove(_SERVICE, "pubsub"),
    "an API that is not waited for": change(_SECRET, needs=frozenset()),
    "a machine before it may list": change(_MACHINE, needs=frozenset()),
    "a service before it may list": change(_RUN_SERVICE, needs=frozenset()),
    "a pointer before its build": change(_OBJECT, needs=frozenset()),
    # Grants.
    "a missing grant of a job": remove(_JOB_GRANT, "post"),
    "a missing grant of a bucket": remove(_BUCKET_GRANT, "scraper"),
    "a missing grant of a folder": remove(_FOLDER_GRANT),
    "a missing grant to list": remove(_LISTING, "data"),
    "a folder of all accounts": put(_FOLDER_GRANT, "managedFolder", "posts/"),
    "a role in the binding that is not its own": put(
        _LISTING, "role", "roles/storage.objectViewer"
    ),
    "a binding that undoes Google's own": put(_LISTING, "members.0", "allUsers"),
    "a second grant to list": put(
        _BUCKET_GRANT, "role", "roles/storage.legacyBucketReader", "user"
    ),
    "a missing grant of a secret": remove(_SECRET_GRANT, "x-bearer"),
    "a missing grant of the storage agent": remove(_TOPIC_GRANT),
    "a missing grant to write logs": remove(_LOG_GRANT),
    "a missing grant to push": remove(_PUSH_GRANT, "build"),
    "a missing grant to act as another account": remove(
        "gcp:serviceaccount/iAMMember:IAMMember", "train"
    ),
    "a grant on a whole bucket": put(_BUCKET_GRANT, "condition", _LEFT_OUT, "user"),
    "a condition that nobody understands": put(
        _BUCKET_GRANT, "condition.expression", "resource.name.contains('x')", "user"
    ),
    "a role that does not exist": put(_JOB_GRANT, "role", "roles/run.jobExecutor"),
    "a primitive role": put(_LOG_GRANT, "role", "roles/editor"),
    "a member without its kind": put(_LOG_GRANT, "member", "build@p.iam.gserviceaccount.com"),
    "a binding in place of a member": alien(
        "gcp:storage/bucketIAMBinding:BucketIAMBinding",
        bucket="b", role="roles/storage.objectViewer", members=["serviceAccount:a@b"],
    ),
    # Secrets, buckets, images, builds.
    "a secret in plain": put(_JOB, f"{_CONTAINER}.envs.0", {"name": "X_KEYS", "value": "k3y"}),
    "a version of a secret": alien(
        "gcp:secretmanager/secretVersion:SecretVersion", secret="s", secretData="unset"
    ),
    "a bucket that may be public": put(_BUCKET, "publicAccessPrevention", "inherited"),
    "a bucket without versions": put(_BUCKET, "versioning.enabled", False),
    "a lifecycle that deletes what is live": put(
        _BUCKET, "lifecycleRules", [{"action": {"type": "Delete"}, "condition": {"age": 30}}]
    ),
    "an image by tag": put(_JOB, f"{_CONTAINER}.image", "host/p/r/app:latest"),
    "text from outside in a script": put(_BUILD, "build.steps.0.script", "echo $_OBJECT"),
    "an undefined substitution": put(_BUILD, "build.steps.0.envs", ["OBJECT=$_OBJEKT"]),
    "a build that does not say where its log is": put(_BUILD, "build.options", _LEFT_OUT),
    "a build on every event": put(_BUILD, "filter", _LEFT_OUT),
    "a notification of every upload": put(_NOTIFICATION, "objectNamePrefix", _LEFT_OUT),
    # In the program itself.
    "an unknown argument": InProgram("stacks/bucket.py", "force_destroy=", "force_destory="),
    "a required argument left out": InProgram("stacks/registry.py", 'format="DOCKER",', ""),
    "two resources of one name": InProgram(
        "stacks/scraper.py", 'self.named("x-bearer")', '"anna-x-keys"'
    ),
    "an output in a text": InProgram(
        "stacks/job.py",
        'pulumi.Output.concat("https://run.googleapis.com/v2/", job.id, ":run")',
        'f"https://run.googleapis.com/v2/{job.id}:run"',
    ),
    "a protected job": InProgram("stacks/job.py", "deletion_protection=False,", ""),
    "names that ignore their limit": InProgram("stacks/naming.py", "30)", "300)"),
    # In the stack file.
    "a misspelt key of the stack file": InStackFile("gpt2-bots:accounts.anna.hande", "anna"),
    "a zone of another region": InStackFile("gpt2-bots:training.zones", ["us-central1-a"]),
    "a pattern that is none": InStackFile(
        "gpt2-bots:accounts.anna.learn", {"exclude": {"patterns": ["(a"]}}
    ),
    "a policy that there is not": InStackFile("gpt2-bots:accounts.anna.learn", {"apps": "twice"}),
    "a schedule that cannot be": InStackFile("gpt2-bots:accounts.anna.post", "every day"),
    "a GPU that does not fit": InStackFile("gpt2-bots:training.gpu", {"type": "nvidia-tesla-t4"}),
    "a namespace that nothing reads": InStackFile("gpt2_bots:training", {}),
}  # fmt: skip


def caught_by(mistake: Plant | InProgram | InStackFile, clean: Recorder) -> list[str]:
    """The errors of the checks in a program with this mistake; empty if no check catches it."""
    values = granted.everything()
    accounts = values["gpt2-bots:accounts"]
    # One account more, whose name is as long as possible.
    accounts["a" * 30] = {**accounts["anna"], "handle": "a_long_one"}
    try:
        match mistake:
            case InStackFile():
                _set(values, mistake)
                return _faults(declare(granted.STACK, values))
            case InProgram():
                with edited(mistake):
                    return _faults(declare(granted.STACK, values))
            case _:
                declared = Recorder(clean.project, copy.deepcopy(clean.resources))
                mistake(declared)
                return _faults(declared)
    except pulumi.RunError as error:
        return [f"the models of the stack file: {error}"]
    except TypeError as error:
        return [f"the SDK's classes: {error}"]
    except Exception as error:  # noqa: BLE001  of classes of Pulumi's own
        (said,) = [line for line in _EXPECTED if line in str(error)]
        return [f"{_EXPECTED[said]}: {said}"]


def _faults(declared: Recorder) -> list[str]:
    return [*rules.faults(declared), *_calls_that_are_not_granted(declared)]


def _calls_that_are_not_granted(declared: Recorder) -> Iterator[str]:
    try:
        permissions = granted.Permissions.of(declared)
        policy = permissions.policy()
        for call in calls.of(permissions):
            if not policy.allows(call.member, call.permission, call.resource):
                yield f"calls: {call.member} cannot {call.does}"
    except ValueError as error:
        yield f"calls: {error}"


def _set(values: dict[str, Any], mistake: InStackFile) -> None:
    where: Any = values
    *before, last = mistake.path.split(".")
    for part in before:
        where = where[part]
    where[last] = mistake.value


class _Edited(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Loads one module with a text that differs from its file."""

    def __init__(self, mistake: InProgram) -> None:
        super().__init__(mistake.file.removesuffix(".py").replace("/", "."), mistake.file)
        text = (ROOT / mistake.file).read_text()
        assert text.count(mistake.old), f"{mistake.old!r} is not in {mistake.file}"
        self._text = text.replace(mistake.old, mistake.new)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self.name else None

    def get_code(self, fullname: str) -> Any:
        return compile(self._text, str(ROOT / self.path), "exec")


@contextmanager
def edited(mistake: InProgram) -> Generator[None]:
    """Put a mistake into one of the program's modules for as long as the context lasts."""
    finder, package = _Edited(mistake), sys.modules["stacks"]
    kept = {
        name: sys.modules.pop(name)
        for name in list(sys.modules)
        # Reloaded models would be other classes, and unequal.
        if name.startswith("stacks.") and name not in {"stacks.config", "stacks.scripts"}
    }
    for name in kept:
        vars(package).pop(name.removeprefix("stacks."), None)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n in sys.modules if n.startswith("stacks.")]:
            if name not in {"stacks.config", "stacks.scripts"}:
                del sys.modules[name]
        sys.modules.update(kept)
        for name, module in kept.items():
            setattr(package, name.removeprefix("stacks."), module)


def main() -> None:
    """Print each mistake and the check that catches it."""
    clean = declare(granted.STACK, granted.everything())
    for what, mistake in MISTAKES.items():
        found = caught_by(mistake, clean) or ["NOTHING"]
        print(f"{what:42}{found[0].splitlines()[0][:150]}")


if __name__ == "__main__":
    main()
