"""Run services: what is declared of one, and the process that answers for it under /run/NAME/.

Stands in for Cloud Run. It starts an instance at the first request and keeps it until the service
is changed or deleted or the cloud stops, and tells who asks by any bearer token of the local
cloud's. It cannot show that Run tries a revision when it deploys it, scaling and concurrency,
liveness probes, limits of memory, nor that callers need identity tokens. Run's contract wants a
process on all addresses, where nobody asks who is calling: LISTEN asks it to be on loopback alone.
"""

import contextlib
import http.client
import re
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

from local.front.refusal import Refused
from local.iam import Denied
from local.provider.kinds import Json, Kind
from local.resources import Resource
from local.services.processes import Stopping, end
from local.services.run import RunKind
from local.services.world import GoogleError, World, email_of, items, section, short
from local.web import Request, Response
from pipeline.errors import UserError

SERVICE = "gcp:cloudrunv2/service:Service"
PATH = r"/run/([^/]+)(?:/(.*))?"
"""Where a service is asked: its name, and what follows for it."""

# Source: https://cloud.google.com/run/docs/container-contract#services-env-vars
_RESERVED = ("PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION")
# What belongs to one connection, and what is for Run and not for the container.
_NOT_PASSED = {"authorization", "connection", "content-length", "host", "keep-alive"}
# Seconds between two looks at a container that starts.
_LOOK = 0.05
# A port that was free may be taken before the container listens on it.
_STARTS = 3


def kinds(world: World, services: "Services") -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {SERVICE: Service(world, services)}


@dataclass(frozen=True)
class Revision:
    """What each instance of a service is: its declaration with Cloud Run's defaults.

    `probe` is the path that a start is known by, empty for a port that is open; `timeout` and
    `patience`, of a request and of a start, are in seconds.
    Source: https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services
    """

    image: str
    command: list[str]
    args: list[str]
    env: dict[str, str]
    account: str
    timeout: float
    probe: str
    patience: float

    @classmethod
    def of(cls, inputs: Json, world: World) -> "Revision":
        """The revision that a service's inputs declare."""
        template = inputs["template"]
        container = template["containers"][0]
        probe = section(container, "startupProbe")
        period = probe.get("periodSeconds") or 10
        # Run's default is one try at a port that is open, of 240 seconds.
        tries = (probe.get("failureThreshold") or 3) if probe else 24
        return cls(
            image=container["image"],
            command=items(container, "commands"),
            args=items(container, "args"),
            env={v["name"]: v.get("value", "") for v in items(container, "envs")},
            account=email_of(template.get("serviceAccount") or world.default_account),
            timeout=float((template.get("timeout") or "300s").removesuffix("s")),
            probe=section(probe, "httpGet").get("path", "/") if "httpGet" in probe else "",
            patience=(probe.get("initialDelaySeconds") or 0) + period * tries,
        )


class Service(RunKind):
    """A service; its image is what its name meant when it was declared last.

    The next request after an update starts an instance as it is declared then.
    """

    noun: ClassVar = "service"

    def __init__(self, world: World, services: "Services") -> None:
        super().__init__(world)
        self._services = services

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """What Cloud Run refuses, and what only the cloud has."""
        return list(_complaints(inputs))

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """It has an address."""
        id, outputs = super().create(name, inputs)  # noqa: A001
        return id, {**outputs, "uri": self._services.address(inputs["name"])}

    def delete(self, id: str, outputs: Json) -> None:  # noqa: A002
        """Its instance ends with it."""
        super().delete(id, outputs)
        self._services.retire(id)

    def must_be_startable(self, inputs: Json) -> None:
        """It has no secrets to look up."""
        revision = Revision.of(inputs, self._world)
        self.must_have(revision.image, revision.account)


def _complaints(inputs: Json) -> Iterator[tuple[str, str]]:
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?", inputs["name"]):
        yield (
            "name",
            f"{inputs['name']!r} is not 1 to 49 lower-case letters, digits and hyphens",
        )
    template = inputs["template"]
    containers = items(template, "containers")
    if len(containers) != 1:
        reason = f"{len(containers)} containers: the local cloud runs exactly one"
        yield "template.containers", reason
    if template.get("volumes"):
        yield "template.volumes", "the local cloud mounts no volumes into services"
    seen: set[str] = set()
    for variable in (v for c in containers for v in items(c, "envs")):
        name = variable["name"]
        at = f"template.containers[0].envs[{len(seen)}]"
        if name in seen:
            yield at, f"{name} is given twice"
        if name in _RESERVED:
            yield at, f"{name} is Cloud Run's own: leave it out"
        if "valueSource" in variable:
            yield at, f"{name}: the local cloud gives services no values of secrets"
        seen.add(name)


@dataclass(frozen=True)
class _Instance:
    """A container that answers on a port of this machine, and what it was started as."""

    process: "subprocess.Popen[bytes]"
    port: int
    inputs: Json
    timeout: float

    @property
    def runs(self) -> bool:
        return self.process.poll() is None


class Services:
    """Starts instances as they are asked, and passes requests on to them."""

    def __init__(self, world: World, url: str) -> None:
        self._world = world
        self._url = url
        self._instances: dict[str, _Instance] = {}
        # Starting and ending one service's instance happens under its own lock.
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def address(self, name: str) -> str:
        """Where a service is asked."""
        return f"{self._url}/run/{name}/"

    def all(self) -> list[dict[str, Any]]:
        """What there is, as JSON: name, url, status and log."""
        return [
            {
                "name": short(service.id),
                "url": self.address(short(service.id)),
                "status": "running" if self._running(service.id) else "waits for a request",
                "log": str(self._log(service.id)),
            }
            for service in self._world.resources.of_type(SERVICE)
        ]

    def answer(self, path: re.Match[str], request: Request, member: str) -> Response:
        """What the service of the path says to this caller; raises Refused."""
        name = path[1]
        service = next(
            (s for s in self._world.resources.of_type(SERVICE) if short(s.id) == name), None
        )
        if service is None:
            raise Refused(404, "notFound", f"there is no service {name}")
        try:
            self._world.policy.require(member, "run.routes.invoke", service.id)
        except Denied as denied:
            raise Refused(403, "forbidden", str(denied)) from denied
        return _pass_on(request, path[2] or "", self._instance(service))

    def retire(self, service: str) -> None:
        """End the instance of a service, if there is one."""
        with self._locks[service]:
            self._end(service)

    def _end(self, service: str) -> None:
        """What it answers now it may answer first."""
        instance = self._instances.pop(service, None)
        if instance is not None:
            end([instance.process])
            self._world.processes.forget(instance.process)

    def _running(self, service: str) -> bool:
        instance = self._instances.get(service)
        return instance is not None and instance.runs

    def _log(self, service: str) -> Path:
        return self._world.log("services", short(service))

    def _instance(self, service: Resource) -> _Instance:
        with self._locks[service.id]:
            found = self._instances.get(service.id)
            if found is not None and found.runs and found.inputs == service.inputs:
                return found
            self._end(service.id)
            with self._log(service.id).open("ab", buffering=0) as log:
                try:
                    started = self._start(service, log)
                except (Stopping, UserError) as error:
                    log.write(f"-- {error}\n".encode())
                    message = f"{short(service.id)}: {error}"
                    raise Refused(503, "unavailable", message) from error
            self._instances[service.id] = started
            return started

    def _start(self, service: Resource, log: IO[bytes]) -> _Instance:
        world, name = self._world, short(service.id)
        revision = Revision.of(service.inputs, world)
        for _ in range(_STARTS):
            port = _free_port()
            revision_name = f"{name}-{int(service.outputs.get('generation', '1')):05}"
            env = (
                revision.env
                | {"LISTEN": "127.0.0.1"}
                | dict(zip(_RESERVED, (str(port), name, revision_name, name), strict=True))
            )
            process = world.processes.start(
                lambda env=env: world.machine.run(
                    revision.image,
                    args=revision.args,
                    entrypoint=revision.command or None,
                    env=env,
                    network=world.network(name, revision.account, {}),
                    log=log,
                ),
                server=True,
            )
            if _becomes_ready(process, port, revision):
                return _Instance(process, port, service.inputs, revision.timeout)
            ended = process.poll()
            end([process])
            world.processes.forget(process)
            if ended is None:
                raise GoogleError(
                    f"the container did not answer on PORT within {revision.patience:g} s"
                )
            if not _taken(port):
                raise GoogleError(f"the container exited with {ended} before it answered on PORT")
        raise GoogleError("no port of this machine stays free")


def _pass_on(request: Request, path: str, instance: _Instance) -> Response:
    target = f"/{path}?{request.query}" if request.query else f"/{path}"
    headers = {k: v for k, v in request.headers.items() if k.lower() not in _NOT_PASSED}
    body = request.body.read()
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=instance.timeout)
    try:
        connection.request(request.method, target, body or None, headers)
        answer = connection.getresponse()
        data = answer.read()
    except TimeoutError as error:
        message = f"no answer within the service's timeout of {instance.timeout:g} s"
        raise Refused(504, "deadlineExceeded", message) from error
    except (OSError, http.client.HTTPException) as error:
        raise Refused(
            503, "unavailable", f"the instance ended or cut the connection: {error}"
        ) from error
    finally:
        connection.close()
    kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in _NOT_PASSED]
    return Response(answer.status, data, kept)


def _becomes_ready(process: "subprocess.Popen[bytes]", port: int, revision: Revision) -> bool:
    deadline = time.monotonic() + revision.patience
    while process.poll() is None and time.monotonic() < deadline:
        if _answers(port, revision.probe) and process.poll() is None:
            return True
        time.sleep(_LOOK)
    return False


def _answers(port: int, probe: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.connect()
        if not probe:
            return True
        connection.request("GET", probe)
        return 200 <= connection.getresponse().status < 400
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False
