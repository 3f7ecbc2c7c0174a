"""Runs the real program under Pulumi's mocks and records what it declares.

Mocks stand in for the engine and the providers. They show which resources are registered, with
which inputs and options. They cannot show the order in which an engine makes them, replacements, or
anything that a provider does.
"""

import asyncio
import gc
import json
import os
import runpy
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
import yaml
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import mocks, settings

from stacks.surroundings import ATTACHED

ROOT = Path(__file__).parents[2]
UNIQUE_ID = "1" * 21
PROJECT_NUMBER = 123456789012
STORAGE_AGENT = "service-1@gs-project-accounts.iam.gserviceaccount.com"
# The outputs that providers compute. All other outputs that the program uses are also inputs.
_COMPUTED: dict[str, Callable[[Mapping[str, Any], str], Mapping[str, Any]]] = {
    "gcp:serviceaccount/account:Account": lambda i, p: {
        "email": f"{i['accountId']}@{p}.iam.gserviceaccount.com",
        "name": f"projects/{p}/serviceAccounts/{i['accountId']}@{p}.iam.gserviceaccount.com",
        "member": f"serviceAccount:{i['accountId']}@{p}.iam.gserviceaccount.com",
        "uniqueId": UNIQUE_ID,
    },
    "gcp:projects/iAMCustomRole:IAMCustomRole": lambda i, p: {
        "name": f"projects/{p}/roles/{i['roleId']}"
    },
    "gcp:storage/bucket:Bucket": lambda i, p: {"projectNumber": PROJECT_NUMBER},
    "gcp:compute/instanceTemplate:InstanceTemplate": lambda i, p: {
        "selfLinkUnique": f"projects/{p}/global/instanceTemplates/t?uniqueId=1"
    },
    "gcp:cloudbuild/trigger:Trigger": lambda i, p: {"triggerId": f"trigger-of-{i['name']}"},
    "gcp:monitoring/notificationChannel:NotificationChannel": lambda i, p: {
        "name": f"projects/{p}/notificationChannels/{len(i['displayName'])}"
    },
    "docker:index/image:Image": lambda i, p: {
        "repoDigest": i["imageName"].rpartition(":")[0] + "@sha256:" + "0" * 64
    },
    "docker-build:index:Index": lambda i, p: {"ref": i["tag"] + "@sha256:" + "1" * 64},
}


def computed(token: str, inputs: Mapping[str, Any], project: str) -> Mapping[str, Any]:
    """The outputs that the provider computes for a resource of this type."""
    outputs = _COMPUTED.get(token)
    return outputs(inputs, project) if outputs else {}


@dataclass(frozen=True)
class Declared:
    """One registered resource."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    # The provider of the resource, `<name>::<id>`; empty for a default provider.
    provider: str = ""
    # The component that it is part of, `<type>::<name>`.
    parent: str = ""
    # Type and name of each resource that it depends on, by its inputs or by `depends_on`.
    needs: frozenset[tuple[str, str]] = frozenset()
    delete_before_replace: bool = False
    retain_on_delete: bool = False
    ignore_changes: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return self.type, self.name


Where = Callable[[Declared], bool]


def _all(resource: Declared) -> bool:
    return True


@dataclass
class Recorder(mocks.Mocks):
    """Records every resource. Two of the same type and name are an error, as in the engine."""

    project: str
    resources: list[Declared] = field(default_factory=list[Declared])
    calls: list[str] = field(default_factory=list[str])
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    _lock: Any = field(default_factory=threading.Lock)
    # The index of each resource in `resources`.
    _at: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    _urns: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        inputs: dict[str, Any] = args.inputs  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - pulumi says only "dict"
        with self._lock:  # Pulumi registers from several threads
            if (args.typ, args.name) in self._at:
                raise AssertionError(f"declared twice: {args.typ} {args.name}")
            self._at[args.typ, args.name] = len(self.resources)
            self.resources.append(Declared(args.typ, args.name, inputs, _provider(args)))
        return f"{args.name}-id", {
            **inputs,
            **computed(args.typ, inputs, self.project),
        }

    def registered(self, request: Any, urn: str) -> None:
        """Record the options of a resource, which Pulumi does not pass to mocks."""
        self._urns[urn] = (request.type, request.name)
        at = self._at[request.type, request.name]
        self.resources[at] = replace(
            self.resources[at],
            parent="::".join(self._urns.get(request.parent, ())),
            needs=frozenset(self._urns[needed] for needed in request.dependencies),
            delete_before_replace=request.deleteBeforeReplace,
            retain_on_delete=request.retainOnDelete,
            ignore_changes=tuple(request.ignoreChanges),
        )

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        self.calls.append(args.token)
        if args.token == "gcp:storage/getProjectServiceAccount:getProjectServiceAccount":
            return {"emailAddress": STORAGE_AGENT}, []
        raise AssertionError(f"no mock of the function {args.token}")

    def of(self, kind: str, where: Where = _all) -> list[Declared]:
        """The resources of a type, or those of them that `where` admits.

        Raises:
            AssertionError: there is none, so a loop over them would prove nothing.
        """
        found = self.any_of(kind, where)
        assert found, f"no such {kind} is declared"
        return found

    def any_of(self, kind: str, where: Where = _all) -> list[Declared]:
        """As `of`, for a check that also holds where there is none."""
        return [r for r in self.resources if r.type == kind and where(r)]

    def one(self, kind: str, name: str = "") -> Declared:
        """The only resource of a type, or the one of this name."""
        (found,) = self.of(kind, lambda r: name in ("", r.name))
        return found

    @property
    def of_google(self) -> list[Declared]:
        return [r for r in self.resources if r.type.startswith("gcp:")]

    @property
    def resources_of_programs(self) -> list[Declared]:
        """All resources except components and the stack."""
        return [r for r in self.resources if not r.type.startswith(("gpt2-bots:", "pulumi:pulumi"))]

    @property
    def providers_resources(self) -> list[Declared]:
        """All resources except components, the stack, and providers."""
        return [r for r in self.resources if not r.type.startswith(("gpt2-bots:", "pulumi:"))]


class _Monitor(mocks.MockMonitor):
    """Pulumi's own monitor, which also passes each registration to the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._recorder = recorder

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        response = super().RegisterResource(request)  # pyright: ignore[reportUnknownMemberType] - pulumi does not type it
        if request.type != "pulumi:pulumi:Stack":
            self._recorder.registered(request, response.urn)
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        if "pulumi:pulumi:Stack::" in request.urn:
            self._recorder.outputs.update(MessageToDict(request.outputs))
        return super().RegisterResourceOutputs(request)  # pyright: ignore[reportUnknownMemberType] - as above


def _provider(args: mocks.MockResourceArgs) -> str:
    return (args.provider or "").rpartition("pulumi:providers:gcp::")[2]


def stack_values(name: str) -> dict[str, Any]:
    """The configuration in one of the project's stack files."""
    return yaml.safe_load((ROOT / f"stacks/Pulumi.{name}.yaml").read_text())["config"]


def declare(stack: str, values: Mapping[str, Any], main: Path = ROOT / "__main__.py") -> Recorder:
    """Run the real `__main__.py`, or another program, and return what it declared.

    An error that the program raises is raised here.
    """
    recorder = Recorder(str(values["gcp:project"]))
    config = {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}
    environment = {
        "PULUMI_CONFIG": json.dumps(config),
        "PULUMI_ERROR_OUTPUT_STRING": "1",
        # The mocks are all three providers.
        ATTACHED: "gcp:1,docker:1,docker-build:1",
    }

    def program() -> None:
        runpy.run_path(str(main))

    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        mocks.set_mocks(
            recorder,
            project="gpt2-bots",
            stack=stack,
            preview=False,
            monitor=_Monitor(recorder),
        )
        settings.ROOT.set(None)  # the mocks' stack would not run a program
        # A program that failed leaves its unfinished tasks behind.
        left: Any = settings.SETTINGS
        left.rpc_manager.clear()
        left.outputs.clear()
        with mock.patch.dict(os.environ, environment):
            loop.run_until_complete(pulumi.runtime.run_in_stack(program))
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
        _close_loops_of_threads()
    return recorder


def _close_loops_of_threads() -> None:
    """Close the event loops that Pulumi's mocks leave open in their threads."""
    for thing in gc.get_objects():
        if isinstance(thing, asyncio.AbstractEventLoop) and not thing.is_running():
            thing.close()
