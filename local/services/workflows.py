"""Workflows: definitions that are declared, and their executions, each a process of its own.

`local.workflow` says what stands in for Google Workflows. An execution ends with the local cloud.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, ClassVar

import yaml

import local
from local.provider.kinds import UNKNOWN, Json, Kind
from local.resources import Resource
from local.services.executions import Execution, Executions, ended, last_error
from local.services.iam import must_exist
from local.services.processes import Stopping
from local.services.world import GoogleError, World, email_of, short

WORKFLOW = "gcp:workflows/workflow:Workflow"

_NAME = r"[A-Za-z]([A-Za-z0-9_-]{0,62}[A-Za-z0-9])?"
# Source: https://cloud.google.com/workflows/quotas
_MOST_BYTES = 128 * 1024


def kinds(world: World) -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {WORKFLOW: Workflow(world)}


class Workflow(Kind):
    """A definition, and the account that its executions run as."""

    replace_on: ClassVar = frozenset({"name", "namePrefix", "region", "project"})
    renewed: ClassVar = frozenset({"revisionId", "updateTime"})

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """What Workflows refuses before it looks into the steps."""
        wrong: list[tuple[str, str]] = []
        if not re.fullmatch(_NAME, inputs["name"]):
            wrong.append(
                (
                    "name",
                    f"{inputs['name']!r} is not 1 to 64 letters, digits, hyphens, a letter first",
                )
            )
        source = inputs.get("sourceContents", "")
        if source != UNKNOWN and (complaint := _source_complaint(source)):
            wrong.append(("sourceContents", complaint))
        return wrong

    def computed(self, inputs: Json) -> Json:
        """It is active at once."""
        del inputs
        return {"state": "ACTIVE"}

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Refused where its account is not there."""
        del name
        self._account_must_exist(inputs)
        region = f"projects/{inputs['project']}/locations/{inputs['region']}"
        now = self._world.timestamp()
        revision = {"revisionId": "000001-000", "createTime": now, "updateTime": now}
        return f"{region}/workflows/{inputs['name']}", revision

    def update(self, id: str, old_outputs: Json, inputs: Json) -> Json:  # noqa: A002
        """Every change is a new revision."""
        del id
        self._account_must_exist(inputs)
        number = int(old_outputs["revisionId"].partition("-")[0]) + 1
        return {"revisionId": f"{number:06}-000", "updateTime": self._world.timestamp()}

    def delete(self, id: str, outputs: Json) -> None:  # noqa: A002
        """Refused by the provider unless the protection was taken off."""
        if outputs.get("deletionProtection", True):
            raise GoogleError(
                f"the workflow {short(id)} is protected: set deletionProtection to false"
            )

    def _account_must_exist(self, inputs: Json) -> None:
        if account := inputs.get("serviceAccount"):
            must_exist(self._world, email_of(account))


class WorkflowExecutions:
    """Executes workflows; what became of each execution is kept beside those of jobs."""

    def __init__(self, world: World, executions: Executions) -> None:
        self._world = world
        self._executions = executions

    def run(self, workflow: Resource, argument: Any) -> Execution:
        """Execute a workflow and wait until it has ended, however that may be."""
        return self._executions.kept(
            workflow, lambda execution, log: self._execute(workflow, argument, execution, log)
        )

    def _execute(
        self, workflow: Resource, argument: Any, execution: Execution, log: IO[bytes]
    ) -> Execution:
        world = self._world
        account = email_of(workflow.inputs.get("serviceAccount") or world.default_account)
        if unseen := world.not_logged(account):
            log.write(f"-- the workflow's log {unseen}\n".encode())
        given = {"source": workflow.inputs["sourceContents"], "argument": argument}

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [sys.executable, "-m", "local.workflow"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(Path(local.__file__).parents[1]),
                    **world.network(execution.name, account, {}),
                },
                start_new_session=True,
            )

        try:
            process = world.processes.start(start)
        except Stopping as stopping:
            return ended(execution, world.clock.now(), str(stopping))
        process.communicate(json.dumps(given).encode())
        world.processes.forget(process)
        code = process.returncode
        execution = execution.model_copy(update={"attempts": 1, "exit_codes": [code]})
        if not code:
            return ended(execution, world.clock.now(), "", "succeeded")
        outcome = "cancelled" if world.processes.stopping else "failed"
        reason = last_error(execution.log) or f"the workflow's process exited with {code}"
        return ended(execution, world.clock.now(), reason, outcome)


def _source_complaint(source: str) -> str:
    if len(source.encode()) > _MOST_BYTES:
        return f"{len(source.encode())} bytes are more than {_MOST_BYTES}"
    try:
        definition = yaml.safe_load(source)
    except yaml.YAMLError as error:
        return f"is not YAML: {' '.join(str(error).split())}"
    if not isinstance(definition, dict) or "main" not in definition:
        return "has no workflow `main`"
    return ""
