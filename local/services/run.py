"""Cloud Run: what a job declares, and what Google refuses about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from local import iam
from local.provider.kinds import Json, Kind
from local.resources import Resource
from local.secrets import SecretError
from local.services.iam import must_exist
from local.services.world import GoogleError, World, email_of, items, short

JOB = "gcp:cloudrunv2/job:Job"


def kinds(world: World) -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {JOB: Job(world)}


@dataclass(frozen=True)
class Task:
    """What each task of an execution does: the job's declaration with Cloud Run's defaults.

    `secrets` are variables with the secret's full name and the version; `timeout` is in seconds.
    Source: https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs
    """

    image: str
    command: list[str]
    args: list[str]
    env: dict[str, str]
    secrets: dict[str, tuple[str, str]]
    account: str
    timeout: float
    retries: int
    count: int
    parallelism: int

    @classmethod
    def of(cls, inputs: Json, world: World) -> "Task":
        """The task that a job's inputs declare."""
        execution = inputs["template"]
        task = execution["template"]
        container = task["containers"][0]
        variables = items(container, "envs")
        count = execution.get("taskCount") or 1
        return cls(
            image=container["image"],
            command=items(container, "commands"),
            args=items(container, "args"),
            env={v["name"]: v.get("value", "") for v in variables if "valueSource" not in v},
            secrets={
                v["name"]: _reference(v["valueSource"]["secretKeyRef"], inputs["project"])
                for v in variables
                if "valueSource" in v
            },
            account=email_of(task.get("serviceAccount") or world.default_account),
            timeout=float((task.get("timeout") or "600s").removesuffix("s")),
            retries=task["maxRetries"] if task.get("maxRetries") is not None else 3,
            count=count,
            parallelism=execution.get("parallelism") or count,
        )


def _reference(reference: Json, project: str) -> tuple[str, str]:
    secret = reference["secret"]
    name = secret if "/" in secret else f"projects/{project}/secrets/{secret}"
    return name, str(reference.get("version") or "latest")


def secret_values(task: Task, world: World) -> dict[str, str]:
    """The task's secret variables; GoogleError for one that its account may not see or is not."""
    values: dict[str, str] = {}
    for variable, (secret, version) in task.secrets.items():
        resource = f"{secret}/versions/{version}"
        try:
            world.policy.require(
                iam.member(task.account), "secretmanager.versions.access", resource
            )
            values[variable] = world.secrets.access(short(secret), version).decode()
        except iam.Denied as denied:
            raise GoogleError(f"Permission denied on secret {resource}: {denied}") from denied
        except SecretError as error:
            raise GoogleError(f"Secret {resource} was not found: {error}") from error
    return values


class RunKind(Kind):
    """What jobs and services share: their record, and what they are refused for."""

    noun: ClassVar[str]
    replace_on: ClassVar = frozenset({"name", "location", "project"})
    renewed: ClassVar = frozenset({"generation", "etag", "updateTime"})

    def __init__(self, world: World) -> None:
        self._world = world

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Refused while what it runs is not there."""
        del name
        self.must_be_startable(inputs)
        location = f"projects/{inputs['project']}/locations/{inputs['location']}"
        id = f"{location}/{self.noun}s/{inputs['name']}"  # noqa: A001
        now = self._world.timestamp()
        return id, {
            "uid": id,
            "generation": "1",
            "observedGeneration": "1",
            "createTime": now,
            "updateTime": now,
        }

    def update(self, id: str, old_outputs: Json, inputs: Json) -> Json:  # noqa: A002
        """Refused as creating is."""
        del id
        self.must_be_startable(inputs)
        generation = str(int(old_outputs.get("generation", "1")) + 1)
        return {
            "generation": generation,
            "observedGeneration": generation,
            "updateTime": self._world.timestamp(),
        }

    def delete(self, id: str, outputs: Json) -> None:  # noqa: A002
        """Refused by the provider unless its protection was lifted."""
        if outputs.get("deletionProtection", True):
            raise GoogleError(
                f"the {self.noun} {short(id)} is protected: set deletionProtection to false and "
                "run `up` before it is destroyed"
            )

    def must_be_startable(self, inputs: Json) -> None:
        """Raise GoogleError where its image, its account or anything else is missing."""
        raise NotImplementedError

    def must_have(self, image: str, account: str) -> None:
        """Raise GoogleError where there is no such account or image."""
        must_exist(self._world, account)
        if self._world.machine.resolve(image) is None:
            raise GoogleError(
                f"Image '{image}' not found: push it before the {self.noun} that runs it is created"
            )


class Job(RunKind):
    """A job; it looks its image and its secrets up anew at each execution."""

    noun: ClassVar = "job"

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """What Cloud Run refuses, and what only the cloud has."""
        return list(_complaints(inputs))

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Nothing has run yet."""
        id, outputs = super().create(name, inputs)  # noqa: A001
        return id, {**outputs, "executionCount": 0}

    def must_be_startable(self, inputs: Json) -> None:
        """Its secrets' versions are looked up when it is declared, too."""
        task = Task.of(inputs, self._world)
        self.must_have(task.image, task.account)
        secret_values(task, self._world)


def _complaints(inputs: Json) -> Iterator[tuple[str, str]]:
    task = inputs["template"]["template"]
    at = "template.template"
    containers = items(task, "containers")
    if len(containers) != 1:
        yield f"{at}.containers", f"{len(containers)} containers: the local cloud runs exactly one"
    if task.get("volumes"):
        yield f"{at}.volumes", "the local cloud mounts no volumes into jobs"
    seen: set[str] = set()
    for container in containers:
        for number, variable in enumerate(items(container, "envs")):
            if variable["name"] in seen:
                path = f"{at}.containers[0].envs[{number}].name"
                yield path, f"{variable['name']} is given twice"
            seen.add(variable["name"])


def find(name: str, world: World) -> Resource | None:
    """The job with this id or this short name; None if there is none."""
    jobs = world.resources.of_type(JOB)
    return next((job for job in jobs if name in (job.id, short(job.id))), None)
