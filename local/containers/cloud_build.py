"""Stands in for Cloud Build's workers: substitutions, builders, a shared /workspace, timeouts.

At Google, /workspace and the builder's home belong to root, and a step runs as its image's USER
(https://github.com/GoogleCloudPlatform/cloud-builders/issues/641, 648 and 927). Here a step that is
not root can write to neither, until an earlier step has opened /workspace to all. It cannot show
that the files there have owners, and no parallel steps: the steps run one after another in the
order in which they are written, whatever `waitFor` says.
"""

import json
import re
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from local.containers import host
from local.containers.bubblewrap import Bind, Sandbox
from local.containers.docker_run import Container
from local.containers.host import Host
from local.containers.image_store import ImageStore
from local.containers.references import Reference
from local.containers.registry_client import RegistryClient
from pipeline.errors import UserError

# Images of builders, and their entry points. Their steps see the host's system and the stand-ins.
_BUILDERS: dict[str, list[str]] = {
    "gcr.io/cloud-builders/docker": ["docker"],
    "docker.io/library/bash": [],
    "docker.io/library/debian": [],
    "docker.io/library/docker": [],
    "docker.io/library/ubuntu": [],
}
_STEP_KEYS = {
    "allowExitCodes", "allowFailure", "args", "automapSubstitutions", "dir", "entrypoint", "env",
    "envs", "id", "name", "script", "timeout", "waitFor", "waitFors",
}  # fmt: skip
_BUILD_KEYS = {
    "images", "logsBucket", "options", "queueTtl", "steps", "substitutions", "tags", "timeout",
}  # fmt: skip
# The builders have a python3. The host's may be only the one of the virtual environment.
_PATH = f"{host.PATH}:{host.VENV}/bin"
_DEFAULT_TIMEOUT = "600s"  # for the whole build
_GRACE = 10.0  # seconds between asking a step to end and ending it
_TIMED_OUT = 124

Start = Callable[[Sandbox, IO[bytes]], "subprocess.Popen[bytes]"]


@dataclass(frozen=True)
class Step:
    """One step, after its substitutions."""

    number: int
    image: str
    arguments: list[str]
    entrypoint: str
    script: str
    environment: dict[str, str]
    directory: str
    timeout: float | None
    allowed_codes: frozenset[int] | None  # None allows every code

    def __str__(self) -> str:
        return f"Step #{self.number}"

    def fails_by(self, code: int) -> bool:
        """Whether the build fails when the step ends with this code."""
        return code != 0 and self.allowed_codes is not None and code not in self.allowed_codes


def parse(build: Mapping[str, Any], substitutions: Mapping[str, str]) -> list[Step]:
    """The steps of a trigger's `build`, in the API's camelCase.

    Raises:
        UserError: An unknown key or substitution. Cloud Build takes an unknown name that begins
            with an underscore for an empty text; here that is a mistake, too.
    """
    _refuse_unknown(build, _BUILD_KEYS, "build")
    given = _given(build, substitutions)
    options: Mapping[str, Any] = build.get("options") or {}
    return [_step(n, step, options, given) for n, step in enumerate(build.get("steps") or [])]


def _given(build: Mapping[str, Any], substitutions: Mapping[str, str]) -> dict[str, str]:
    return {**(build.get("substitutions") or {}), **substitutions}


def _step(
    number: int, fields: Mapping[str, Any], options: Mapping[str, Any], given: Mapping[str, str]
) -> Step:
    label = f"step {fields.get('id') or number}"
    _refuse_unknown(fields, _STEP_KEYS, label)
    if fields.get("script") and (fields.get("args") or fields.get("entrypoint")):
        raise UserError(f"{label}: `script` takes neither `args` nor `entrypoint`")

    def made(value: str) -> str:
        return substitute(value, given, label)

    variables = [made(v) for v in (*_list(options, "env"), *_list(fields, "env"))]
    for variable in variables:
        if "=" not in variable:
            raise UserError(f"{label}: env {variable!r} is not of the form NAME=value")
    automap = fields.get("automapSubstitutions") or options.get("automapSubstitutions")
    codes = frozenset(int(code) for code in fields.get("allowExitCodes") or ())
    return Step(
        number=number,
        image=made(fields["name"]),
        arguments=[made(str(value)) for value in fields.get("args") or ()],
        entrypoint=made(fields.get("entrypoint") or ""),
        script=fields.get("script") or "",
        environment={
            **(given if automap else {}),
            **dict(variable.split("=", 1) for variable in variables),
        },
        directory=made(fields.get("dir") or ""),
        timeout=seconds(fields["timeout"]) if fields.get("timeout") else None,
        allowed_codes=None if fields.get("allowFailure") else codes,
    )


def _list(fields: Mapping[str, Any], name: str) -> list[str]:
    """A list, under Cloud Build's name or under Pulumi's, which is the plural."""
    return [*(fields.get(name) or ()), *(fields.get(f"{name}s") or ())]


def _refuse_unknown(fields: Mapping[str, Any], known: set[str], label: str) -> None:
    for name, value in fields.items():
        if name not in known and value:
            raise UserError(f"{label}: {name!r} is not stood in for on this machine")


def substitute(text: str, given: Mapping[str, str], label: str) -> str:
    """Replaces `$NAME` and `${NAME}`; `$$` is a dollar.

    Raises:
        UserError: A name that is not given. `$$` begins a variable of the shell's own.
    """

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name = match[1] or match[2]
        if name in given:
            return given[name]
        raise UserError(
            f"{label}: key {match[0]!r} in the template is not a valid built-in substitution, and"
            f" the trigger has none of that name; write ${match[0]} for the shell's own variable"
        )

    return re.sub(r"\$\$|\$(\w+)|\$\{([^}]*)\}", value, text)


def seconds(duration: str) -> float:
    """The seconds of a duration such as `600s`."""
    if not re.fullmatch(r"\d+(\.\d+)?s", duration):
        raise UserError(f"timeout {duration!r} is not a number of seconds such as 600s")
    return float(duration[:-1])


class Worker:
    """Runs one build in a folder, which holds the workspace and the builder's home."""

    def __init__(
        self, host: Host, start: Start, network: Mapping[str, str], log: IO[bytes], folder: Path
    ) -> None:
        self._host, self._start, self._network, self._log = host, start, network, log
        self._folder = folder
        for name in ("workspace", "home/.docker", "docker"):
            (folder / name).mkdir(parents=True)
        (folder / "workspace").chmod(0o755)
        # Cloud Build gives its builders a credential for the project's registries.
        (folder / "home/.docker/config.json").write_text(json.dumps({"credsStore": "gcloud"}))
        self._images = ImageStore(
            host.images, folder / "docker", RegistryClient(network), self._say
        )

    def run(self, build: Mapping[str, Any], substitutions: Mapping[str, str]) -> int:
        """Runs the steps and pushes `images`; returns 0 or the status of the step that failed."""
        steps = parse(build, substitutions)
        if any(_list(step, "waitFor") for step in build.get("steps") or ()):
            self._say("waitFor: the steps run one after another on this machine")
        deadline = time.monotonic() + seconds(build.get("timeout") or _DEFAULT_TIMEOUT)
        for step in steps:
            self._say(f"Starting {step}: {step.image}")
            code = self._run(step, deadline)
            self._say(f"Finished {step}: {code}")
            if step.fails_by(code):
                return code
        for image in build.get("images") or ():
            name = substitute(image, _given(build, substitutions), "images")
            self._say(f"PUSH {name}@{self._images.push(name)}")
        return 0

    def _say(self, text: str) -> None:
        self._log.write(f"{text}\n".encode())
        self._log.flush()

    def _run(self, step: Step, deadline: float) -> int:
        left = deadline - time.monotonic()
        process = self._start(self._sandbox(step), self._log)
        try:
            return process.wait(left if step.timeout is None else min(left, step.timeout))
        except subprocess.TimeoutExpired:
            self._say(f"{step}: timed out")
            _stop(process)
            return _TIMED_OUT

    def _sandbox(self, step: Step) -> Sandbox:
        command = [step.entrypoint] if step.entrypoint else None
        repository = Reference.parse(step.image).repository
        root = repository in _BUILDERS or self._runs_as_root(step.image)
        workspace = self._folder / "workspace"
        is_open = bool(workspace.stat().st_mode & stat.S_IWOTH)
        binds = [
            Bind(str(workspace), "/workspace", read_only=not (root or is_open)),
            Bind(str(self._folder / "home"), "/builder/home", read_only=not root),
        ]
        if step.script:
            command = ["/builder/script"]
            binds.append(Bind(str(self._script(step.script)), "/builder/script"))
        directory = str(Path("/workspace", step.directory))
        environment = {"HOME": "/builder/home", **step.environment}
        if repository not in _BUILDERS:
            container = Container(
                step.image, step.arguments, command, environment, binds, directory
            )
            return container.sandbox(self._images, self._host, self._network)
        command = [*(command or _BUILDERS[repository]), *step.arguments]
        if not command:
            raise UserError(f"{step}: {step.image} has no entry point: give `args` or `script`")
        return Sandbox(
            command=command,
            environment={"PATH": _PATH, **host.network(self._network), **environment},
            directory=directory,
            layers=[str(self._host.tools)],
            binds=[
                *self._host.machinery(),
                *binds,
                Bind(str(self._folder / "docker"), host.DOCKER_FOLDER),
            ],
            privileged=True,
        )

    def _runs_as_root(self, image: str) -> bool:
        user = self._images.config(self._images.need(image)).get("User", "")
        return user.partition(":")[0] in ("", "0", "root")

    def _script(self, text: str) -> Path:
        file = self._folder / "script"
        file.write_text(text if text.startswith("#!") else f"#!/bin/sh -e\n{text}")
        file.chmod(0o755)
        return file


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Asks a sandbox to end. Kills it, with all that it started, if it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
