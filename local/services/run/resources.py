"""Cloud Run's jobs and services: what they declare, and what Google refuses about them.

It cannot show volumes, more than one container, limits of memory and processors, nor networks.
"""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, ClassVar

from local.engine.handler import Failure, Json
from local.gateway import iam
from local.services.context import Context, GoogleError, email_of, items, short
from local.services.handler import GoogleHandler, must_not_be_protected
from local.services.iam.grants import account_must_exist
from local.services.secretmanager.secrets import SecretError, Secrets

JOB = "gcp:cloudrunv2/job:Job"
SERVICE = "gcp:cloudrunv2/service:Service"
RESERVED = ("PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION")
"""Variables that Run sets in services.

Source: https://cloud.google.com/run/docs/container-contract#services-env-vars
"""


@dataclass(frozen=True)
class Container:
    """The one container of a job or service, and the account that it runs as.

    `secrets` are variables with the secret's full name and the version.
    """

    image: str
    command: list[str]
    args: list[str]
    env: dict[str, str]
    secrets: dict[str, tuple[str, str]]
    account: str

    @classmethod
    def of(cls, template: Json, context: Context) -> "Container":
        """Returns what a template of a task or a revision declares."""
        container = template["containers"][0]
        variables = items(container, "envs")
        return cls(
            image=container["image"],
            command=items(container, "commands"),
            args=items(container, "args"),
            env={v["name"]: v.get("value", "") for v in variables if "valueSource" not in v},
            secrets={
                v["name"]: _reference(v["valueSource"]["secretKeyRef"], context.project)
                for v in variables
                if "valueSource" in v
            },
            account=email_of(template.get("serviceAccount") or context.default_account),
        )

    def start(
        self, context: Context, name: str, image: str, env: dict[str, str], log: IO[bytes]
    ) -> "subprocess.Popen[bytes]":
        """Starts a process of `image`, on the network as execution `name`."""
        return context.runtime.run(
            image,
            args=self.args,
            entrypoint=self.command or None,
            env=env,
            network=context.network(name, self.account, {}),
            log=log,
        )

    def secret_values(self, context: Context, secrets: Secrets) -> dict[str, str]:
        """Returns the secret variables.

        Raises:
            GoogleError: The account may not read a secret, or the secret does not exist.
        """
        values: dict[str, str] = {}
        for variable, (secret, version) in self.secrets.items():
            name = f"{secret}/versions/{version}"
            try:
                context.policy.require(
                    iam.member(self.account), "secretmanager.versions.access", name
                )
                values[variable] = secrets.access(short(secret), version).decode()
            except iam.Denied as denied:
                raise GoogleError(f"Permission denied on secret {name}: {denied}") from denied
            except SecretError as error:
                raise GoogleError(f"Secret {name} was not found: {error}") from error
        return values


def _reference(reference: Json, project: str) -> tuple[str, str]:
    secret = reference["secret"]
    name = secret if "/" in secret else f"projects/{project}/secrets/{secret}"
    return name, str(reference.get("version") or "latest")


def seconds(duration: str | None, default: float) -> float:
    """Returns the seconds of a duration such as "600s"."""
    return float(duration.removesuffix("s")) if duration else default


class _Runnable(GoogleHandler):
    """What jobs and services share: their record, and what they are refused for."""

    noun: ClassVar[str]
    replace_on: ClassVar = frozenset({"name", "location", "project"})
    renewed: ClassVar = frozenset({"generation", "etag", "updateTime"})

    def __init__(self, context: Context, secrets: Secrets) -> None:
        super().__init__(context)
        self._secrets = secrets

    def template(self, inputs: Json) -> tuple[str, Json]:
        """Returns the template that has the container, and its path."""
        raise NotImplementedError

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Yields what Cloud Run refuses, and what the local cloud does not have."""
        yield from super().check(inputs)
        at, template = self.template(inputs)
        containers = items(template, "containers")
        if len(containers) != 1:
            reason = f"{len(containers)} containers: the local cloud runs exactly one"
            yield f"{at}.containers", reason
        if template.get("volumes"):
            yield f"{at}.volumes", f"the local cloud mounts no volumes into a {self.noun}"
        seen: set[str] = set()
        for container in containers:
            for number, variable in enumerate(items(container, "envs")):
                path = f"{at}.containers[0].envs[{number}].name"
                if variable["name"] in seen:
                    yield path, f"{variable['name']} is given twice"
                for reason in self.refused_variable(variable):
                    yield path, reason
                seen.add(variable["name"])

    def refused_variable(self, _variable: Json) -> Iterator[str]:
        """Yields why an environment variable cannot be given."""
        return iter(())

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Records it; refused while what it runs does not exist."""
        self._must_be_startable(inputs)
        id_, _ = super().create(name, inputs)
        return id_, {"uid": id_, "createTime": self._context.timestamp(), **self._generation(1)}

    def update(self, _id: str, old_outputs: Json, inputs: Json) -> Json:
        """Records it; refused for the same reasons as a creation."""
        self._must_be_startable(inputs)
        return self._generation(int(old_outputs["generation"]) + 1)

    def delete(self, id_: str, outputs: Json) -> None:
        """Refuses while its protection is on, as the provider does. It is on by default."""
        must_not_be_protected(self.noun, id_, outputs, default=True)

    def _generation(self, number: int) -> Json:
        return {
            "generation": str(number),
            "observedGeneration": str(number),
            "updateTime": self._context.timestamp(),
        }

    def _must_be_startable(self, inputs: Json) -> None:
        container = Container.of(self.template(inputs)[1], self._context)
        account_must_exist(self._context, container.account)
        if self._context.runtime.resolve(container.image) is None:
            raise GoogleError(
                f"Image '{container.image}' not found: push it before the {self.noun} that runs it"
                " is created"
            )
        container.secret_values(self._context, self._secrets)


class Job(_Runnable):
    """A job. It looks up its image and its secrets anew at each execution."""

    noun: ClassVar = "job"
    full_name: ClassVar = "projects/{project}/locations/{location}/jobs/{name}"

    def template(self, inputs: Json) -> tuple[str, Json]:
        """Returns the template of a task, and its path."""
        return "template.template", inputs["template"]["template"]

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Records the job. Nothing has run yet."""
        id_, outputs = super().create(name, inputs)
        return id_, {**outputs, "executionCount": 0}


class Service(_Runnable):
    """A service. The next request after an update starts an instance as it is declared then."""

    noun: ClassVar = "service"
    full_name: ClassVar = "projects/{project}/locations/{location}/services/{name}"
    formats: ClassVar = {
        "name": (
            r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?",
            "1 to 49 lower-case letters, digits and hyphens",
        )
    }

    def __init__(
        self,
        context: Context,
        secrets: Secrets,
        address: Callable[[str], str],
        retire: Callable[[str], None],
    ) -> None:
        super().__init__(context, secrets)
        self._address = address
        self._retire = retire

    def template(self, inputs: Json) -> tuple[str, Json]:
        """Returns the template of a revision, and its path."""
        return "template", inputs["template"]

    def refused_variable(self, variable: Json) -> Iterator[str]:
        """Refuses Run's own variables, and values of secrets."""
        name = variable["name"]
        if name in RESERVED:
            yield f"{name} is Cloud Run's own: leave it out"
        if "valueSource" in variable:
            yield f"{name}: the local cloud gives services no values of secrets"

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Records the service and gives it an address."""
        id_, outputs = super().create(name, inputs)
        return id_, {**outputs, "uri": self._address(inputs["name"])}

    def delete(self, id_: str, outputs: Json) -> None:
        """Ends its instance."""
        super().delete(id_, outputs)
        self._retire(id_)
