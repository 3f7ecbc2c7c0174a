"""Workflows: definitions that are declared, and whether an execution of one would be allowed.

The local cloud does not execute them: that is tests/retraining's, on an emulator.
"""

import re
from typing import ClassVar

import yaml

from local.provider.kinds import UNKNOWN, Json, Kind
from local.services.iam import must_exist
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
