"""The local cloud as one object: its parts wired together, started and stopped."""

import collections
import contextlib
import fcntl
import functools
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from local import control
from local.clock import LocalClock
from local.containers.runtime import ContainerRuntime
from local.engine.server import Providers
from local.gateway.gateway import Gateway
from local.gateway.iam import Grant, Policy
from local.gateway.server import Request, Response
from local.resources import ResourceStore
from local.services import catalogue
from local.services.artifactregistry import api as registry
from local.services.cloudbuild.builds import Builds
from local.services.compute import api as compute
from local.services.compute.instances import Instances
from local.services.context import Context, short
from local.services.iam.grants import custom_roles, grants
from local.services.processes import Processes
from local.services.pubsub import messages
from local.services.run import resources as run
from local.services.run import serving
from local.services.run.executions import Execution, Executions
from local.services.scheduler import resources as scheduler
from local.services.scheduler.scheduler import Fired, Scheduler
from local.services.secretmanager import api as secret_manager
from local.services.secretmanager.secrets import Secrets
from local.services.serviceusage.resources import require_api
from local.services.storage import api as cloud_storage
from local.services.storage.events import finalized
from local.services.storage.past import Keeping
from local.services.storage.resources import BUCKET
from local.services.storage.server import StorageServer
from local.x import Draft, XServer
from pipeline.errors import UserError

Json = dict[str, Any]
_log = logging.getLogger(__name__)


class Cloud:
    """Google Cloud and X for one project on this machine, with all their state in `home`.

    `root` is the folder that relative paths of the Pulumi program start from. Any number of clouds
    may run side by side, each with a home and a port of its own. Two on one home is a UserError.
    `interceptors` are for the calls of Pulumi's engine; see `Providers`.
    """

    def __init__(
        self,
        home: Path,
        port: int,
        *,
        project: str = "local-bots",
        root: Path | None = None,
        interceptors: Sequence[grpc.ServerInterceptor] = (),
    ) -> None:
        self.home = home.resolve()
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock: int | None = _locked(self.home)
        self.project = project
        self.clock = LocalClock(self.home / "clock.json")
        self.resources = ResourceStore(self.home / "resources.json")
        self.problems: collections.deque[str] = collections.deque(maxlen=20)
        self.storage = StorageServer(self.home / "storage", self._keeping)
        self._processes = Processes()
        policy = Policy(self.grants, lambda: custom_roles(self.resources))
        self.secrets = Secrets(self.home / "secrets")
        try:
            self.gateway = Gateway(port, project)
        except UserError:
            os.close(self._lock)
            raise
        self.x = _x_server(self.home, self.clock)
        self._runtime = ContainerRuntime(self.home / "machine")
        self.context = Context(
            home=self.home,
            root=(root or Path.cwd()).resolve(),
            project=project,
            resources=self.resources,
            runtime=self._runtime,
            policy=policy,
            clock=self.clock,
            processes=self._processes,
            network=self.network,
        )
        self.executions = Executions(self.context, self.secrets)
        self.scheduler = Scheduler(self.context, self.executions)
        self.builds = Builds(self.context, self._report)
        self.instances = Instances(self.context)
        self.services = serving.Services(self.context, self.gateway.url)
        self._delivery = messages.Messages(self.context, self._report, self.builds.deliver)
        self.gateway.serve(
            control.PATH, control.api(self.calls(), self.home, self.used), anonymous=True
        )
        objects = cloud_storage.CloudStorage(self.storage, policy, self.clock.now, self._finalized)
        self.gateway.serve(cloud_storage.PATH, objects.respond, anonymous=True)
        versions = secret_manager.SecretManager(project, policy, self.secrets)
        self.gateway.serve(secret_manager.PATH, versions.respond)
        self.gateway.serve(serving.PATH, self._call_service, anonymous=True)
        self.gateway.serve(messages.PATH, self._delivery.respond)
        self.gateway.serve(registry.PATH, registry.Registry(self.context).respond, anonymous=True)
        self.gateway.serve(compute.PATH, compute.Compute(self.context, self.instances).respond)
        self.handlers = catalogue.handlers(
            self.context,
            self.storage,
            self.secrets,
            self.scheduler,
            self.instances,
            self.services,
        )
        self.providers = Providers(
            self.handlers,
            catalogue.invokes(self.context),
            self.resources,
            functools.partial(require_api, self.resources),
            interceptors,
        )
        self._last_use = time.monotonic()

    def calls(self) -> control.Calls:
        """Returns the calls of a person's commands."""
        return {
            ("GET", "status"): lambda _: self.status(),
            ("POST", "tick"): lambda _: [fired_as_json(fired) for fired in self.tick()],
            ("POST", "run"): lambda asked: fired_as_json(self.run(asked["job"])),
            ("POST", "x/users"): self._add_x_user,
            ("POST", "x/keys"): lambda asked: self.x.issue_keys(asked["handle"]),
            ("POST", "x/bearer"): lambda _: {"bearer": self.x.bearer()},
            ("POST", "x/posts"): lambda asked: [
                post.model_dump() for post in self.x.posts(asked["handle"])
            ],
        }

    def start(self) -> None:
        """Starts everything, and what ran when the cloud was stopped."""
        self.storage.start()
        self.x.start()
        (self.home / "x-port").write_text(self.x.url.rpartition(":")[2])
        self.gateway.start()
        self.providers.start()
        self.instances.resume()
        self.builds.resume()

    def stop(self) -> None:
        """Ends everything that was started. A second call does nothing."""
        if self._lock is None:
            return
        self._processes.stop()
        self._runtime.close()
        self.providers.stop()
        self.builds.stop()
        self.instances.stop()
        self.gateway.stop()
        self.x.stop()
        self.storage.kill()
        os.close(self._lock)
        self._lock = None

    def network(self, name: str, email: str, metadata: Mapping[str, str]) -> dict[str, str]:
        """Returns the environment that puts a process on this cloud's network; see `Context`."""
        return {
            **self.gateway.identity(name, email, metadata),
            "X_API_URL": self.x.url,
            "CLOCK": self.clock.now().isoformat(),
        }

    def heal(self) -> None:
        """Starts the storage server again if it died, and lets it delete what is due."""
        self.storage.ensure()
        self.storage.past.settle(self.clock.now())

    def used(self) -> None:
        """Notes that somebody uses the cloud."""
        self._last_use = time.monotonic()

    def quiet(self) -> float:
        """Returns the seconds since anybody used the cloud, or anything ran on it."""
        if self._processes.busy or self.builds.running():
            self.used()
        return time.monotonic() - self._last_use

    def tick(self) -> list[Fired]:
        """Advances the clock to the next tick, fires all jobs due then, and waits for them."""
        self.heal()
        return self.scheduler.tick()

    def run(self, name: str) -> Fired | Execution:
        """Runs a Run job now, or fires a scheduler job; raises UserError if there is neither."""
        self.heal()
        job = self.resources.find(run.JOB, name)
        if job is not None:
            return self.executions.run(job)
        if scheduled := self.resources.find(scheduler.JOB, name):
            return self.scheduler.fire(scheduled)
        known = sorted({short(job.id) for job in self.resources.of_type(run.JOB)})
        raise UserError(
            f"there is no job {name!r}; "
            + (f"there are {', '.join(known)}" if known else "none is declared yet")
        )

    def grants(self) -> list[Grant]:
        """Returns the grants in force: all that are declared."""
        return list(grants(self.resources).values())

    def status(self) -> Json:
        """Returns what exists and what happened, as JSON."""
        return {
            "home": str(self.home),
            "project": self.project,
            "now": self.clock.now().isoformat(timespec="seconds"),
            "providers": self.providers.ports,
            "x": self.x.url,
            "resources": len(self.resources.all()),
            "ticks": [
                {"job": short(job.id), "at": at.isoformat()} for at, job in self.scheduler.due()
            ],
            "attempts": [a.model_dump(mode="json") for a in self.scheduler.attempts()],
            "executions": [e.model_dump(mode="json") for e in self.executions.all()],
            "builds": [b.model_dump(mode="json", exclude={"declared"}) for b in self.builds.all()],
            "instances": [
                {
                    "name": short(i.id),
                    "zone": i.id.split("/")[3],
                    **i.model_dump(mode="json", include={"status", "started", "reason", "log"}),
                }
                for i in self.instances.all()
            ],
            "services": self.services.all(),
            "problems": list(self.problems),
        }

    def _keeping(self, bucket: str) -> Keeping:
        declared = self.resources.find(BUCKET, bucket)
        return Keeping.declared(declared.inputs) if declared else Keeping()

    def _add_x_user(self, asked: Json) -> Json:
        tweets = [Draft.model_validate(tweet) for tweet in asked["tweets"]]
        flags = {flag: True for flag in ("protected", "suspended") if asked.get(flag)}
        self.x.add_user(asked["handle"], tweets, **flags)
        return {"handle": asked["handle"], "tweets": len(tweets)}

    def _call_service(self, path: re.Match[str], request: Request, member: str) -> Response:
        self.used()
        return self.services.respond(path, request, member)

    def _finalized(self, attributes: Mapping[str, str], metadata: Mapping[str, Any]) -> None:
        self.used()
        finalized(self.context, self._delivery, attributes, metadata)

    def _report(self, problem: str) -> None:
        _log.warning(problem)
        self.problems.append(f"{self.clock.now().isoformat(timespec='seconds')} {problem}")


def fired_as_json(result: Fired | Execution) -> Json:
    """Returns a result as JSON. `attempt` is None for a job that was run without its schedule."""
    if isinstance(result, Execution):
        return {"attempt": None, "execution": result.model_dump(mode="json")}
    return {
        "attempt": result.attempt.model_dump(mode="json"),
        "execution": result.execution and result.execution.model_dump(mode="json"),
    }


def _x_server(home: Path, clock: LocalClock) -> XServer:
    """Returns X on the port that it had before, if that is still free."""
    file = home / "x-port"
    kept = int(file.read_text()) if file.exists() else 0
    try:
        return XServer(home / "x", clock.now, port=kept)
    except UserError:
        return XServer(home / "x", clock.now)


def _locked(home: Path) -> int:
    """Returns an open descriptor of the home's lock; raises UserError if another process has it."""
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # A process that only checks whether the lock is taken holds it for a moment.
    for _ in range(50):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        time.sleep(0.02)
    os.close(descriptor)
    raise UserError(f"a local cloud runs in {home} already: `python -m local down` stops it")
