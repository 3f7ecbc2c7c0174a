"""The instances of Run services, which serve requests under /run/NAME/.

Stands in for Cloud Run. An instance starts at the first request, and runs until the
service is changed or deleted or the cloud stops. Any bearer token of the local cloud tells who
calls. It cannot show that Run starts a revision when it deploys it, scaling and concurrency,
liveness probes, limits of memory, nor that callers need identity tokens.

By Run's contract a process listens on all addresses, where nobody checks the caller. The variable
LISTEN asks it to use the loopback address alone.
"""

import contextlib
import http.client
import re
import socket
import subprocess
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from local.engine.handler import Json
from local.gateway.errors import HttpError
from local.gateway.server import Request, Response
from local.resources import Resource
from local.services.context import Context, GoogleError, section, short
from local.services.processes import Stopping, end
from local.services.run.resources import RESERVED, SERVICE, Container, seconds
from pipeline.errors import UserError

PATH = r"/run/([^/]+)(?:/(.*))?"
"""Where a service is called: its name, and the rest for the service itself."""

# Headers of one connection, and those for Run that the container does not get.
_NOT_PASSED = {"authorization", "connection", "content-length", "host", "keep-alive"}
# Seconds between two checks of a container that starts.
_INTERVAL = 0.05
# Another process may take a free port before the container listens on it.
_STARTS = 3


@dataclass(frozen=True)
class Revision:
    """A service's container and how it is known to run. Defaults are Cloud Run's.

    `probe` is the path that is asked whether a start succeeded, empty for a port that is open.
    `timeout` (of a request) and `start_timeout` are in seconds.
    Source: https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services
    """

    container: Container
    timeout: float
    probe: str
    start_timeout: float

    @classmethod
    def of(cls, inputs: Json, context: Context) -> "Revision":
        """Returns the revision that a service's inputs declare."""
        template = inputs["template"]
        probe = section(template["containers"][0], "startupProbe")
        period = probe.get("periodSeconds") or 10
        # Without a probe, Run tries for 240 seconds whether the port is open.
        tries = (probe.get("failureThreshold") or 3) if probe else 24
        return cls(
            container=Container.of(template, context),
            timeout=seconds(template.get("timeout"), 300),
            probe=section(probe, "httpGet").get("path", "/") if "httpGet" in probe else "",
            start_timeout=(probe.get("initialDelaySeconds") or 0) + period * tries,
        )


@dataclass(frozen=True)
class _Instance:
    """A container that serves on a port of this machine, and the inputs that it started with."""

    process: "subprocess.Popen[bytes]"
    port: int
    inputs: Json
    timeout: float

    @property
    def runs(self) -> bool:
        return self.process.poll() is None


class Services:
    """Starts instances when they are called, and passes requests on to them."""

    def __init__(self, context: Context, url: str) -> None:
        self._context = context
        self._url = url
        self._instances: dict[str, _Instance] = {}
        # An instance starts and ends under the lock of its service.
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def address(self, name: str) -> str:
        """Returns where a service is called."""
        return f"{self._url}/run/{name}/"

    def all(self) -> list[dict[str, Any]]:
        """Returns every service as JSON: name, url, status and log."""
        return [
            {
                "name": short(service.id),
                "url": self.address(short(service.id)),
                "status": "running" if self._running(service.id) else "waits for a request",
                "log": str(self._log(service.id)),
            }
            for service in self._context.resources.of_type(SERVICE)
        ]

    def respond(self, path: re.Match[str], request: Request, member: str) -> Response:
        """Returns the service's response to this caller; raises HttpError."""
        name = path[1]
        service = self._context.resources.find(SERVICE, name)
        if service is None:
            raise HttpError(404, "notFound", f"there is no service {name}")
        self._context.policy.require(member, "run.routes.invoke", service.id)
        return _pass_on(request, path[2] or "", self._instance(service))

    def retire(self, service: str) -> None:
        """Ends the instance of a service, if there is one."""
        with self._locks[service]:
            self._end(service)

    def _end(self, service: str) -> None:
        """Ends an instance. It may finish the requests that it serves now."""
        instance = self._instances.pop(service, None)
        if instance is not None:
            end([instance.process])
            self._context.processes.forget(instance.process)

    def _running(self, service: str) -> bool:
        instance = self._instances.get(service)
        return instance is not None and instance.runs

    def _log(self, service: str) -> Path:
        return self._context.log("services", short(service))

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
                    raise HttpError(503, "unavailable", message) from error
            self._instances[service.id] = started
            return started

    def _start(self, service: Resource, log: IO[bytes]) -> _Instance:
        context, name = self._context, short(service.id)
        revision = Revision.of(service.inputs, context)
        container = revision.container
        for _ in range(_STARTS):
            port = _free_port()
            revision_name = f"{name}-{int(service.outputs['generation']):05}"
            env = (
                container.env
                | {"LISTEN": "127.0.0.1"}
                | dict(zip(RESERVED, (str(port), name, revision_name, name), strict=True))
            )
            process = context.processes.start(
                lambda env=env: container.start(context, name, container.image, env, log),
                server=True,
            )
            if _becomes_ready(process, port, revision):
                return _Instance(process, port, service.inputs, revision.timeout)
            ended = process.poll()
            end([process])
            context.processes.forget(process)
            if ended is None:
                raise GoogleError(
                    f"the container did not answer on PORT within {revision.start_timeout:g} s"
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
        response = connection.getresponse()
        data = response.read()
    except TimeoutError as error:
        message = f"no answer within the service's timeout of {instance.timeout:g} s"
        raise HttpError(504, "deadlineExceeded", message) from error
    except (OSError, http.client.HTTPException) as error:
        raise HttpError(
            503, "unavailable", f"the instance ended or cut the connection: {error}"
        ) from error
    finally:
        connection.close()
    kept = [(k, v) for k, v in response.getheaders() if k.lower() not in _NOT_PASSED]
    return Response(response.status, data, kept)


def _becomes_ready(process: "subprocess.Popen[bytes]", port: int, revision: Revision) -> bool:
    deadline = time.monotonic() + revision.start_timeout
    while process.poll() is None and time.monotonic() < deadline:
        if _responds(port, revision.probe) and process.poll() is None:
            return True
        time.sleep(_INTERVAL)
    return False


def _responds(port: int, probe: str) -> bool:
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
