"""The local cloud as one object: its parts wired together, started and stopped."""

import collections
import contextlib
import fcntl
import functools
import logging
import os
import re
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from local import apis, control
from local.clock import LocalClock
from local.front import Front
from local.iam import Grant, Policy
from local.machine import Machine
from local.provider.server import Providers
from local.resources import ResourceStore
from local.secrets import Secrets
from local.services import (
    artifactregistry,
    catalogue,
    compute_api,
    iam,
    pubsub,
    run,
    scheduler,
    serving,
)
from local.services.cloudbuild import Builds
from local.services.executions import Execution, Executions
from local.services.instances import Instances
from local.services.processes import Processes
from local.services.pubsub import Messages
from local.services.scheduler import Fired, Scheduler
from local.services.serving import Services
from local.services.storage import Notifier
from local.services.world import World, short
from local.storage import StorageServer
from local.web import Request, Response
from local.x import XServer
from pipeline.errors import UserError

_log = logging.getLogger(__name__)


class Cloud:
    """Google Cloud and X for one project on this machine, with all their state in `home`.

    `root` is the folder that relative paths of the Pulumi program start from. Any number of clouds
    run side by side, each with a home and a port of its own; two on one home is a UserError.
    """

    def __init__(
        self, home: Path, port: int, *, project: str = "local-bots", root: Path | None = None
    ) -> None:
        self.home = home.resolve()
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock: int | None = _locked(self.home)
        self.project = project
        self.clock = LocalClock(self.home / "clock.json")
        self.resources = ResourceStore(self.home / "resources.json")
        self.problems: collections.deque[str] = collections.deque(maxlen=20)
        self._storage = StorageServer(self.home / "storage")
        self._processes = Processes()
        self.suspended: set[str] = set()
        policy = Policy(self._grants_in_force, lambda: iam.custom_roles(self.resources))
        secrets = Secrets(self.home / "secrets")
        try:
            self.front = Front(
                port,
                self._storage.upstream,
                policy,
                project,
                self.clock.now,
                self._finalized,
                secrets,
                {"/local/": control.route(self)},
            )
        except UserError:
            os.close(self._lock)
            raise
        self.x = _x_server(self.home, self.clock)
        self._machine = Machine(self.home / "machine")
        self.world = World(
            home=self.home,
            root=(root or Path.cwd()).resolve(),
            project=project,
            resources=self.resources,
            storage=self._storage,
            secrets=secrets,
            machine=self._machine,
            policy=policy,
            clock=self.clock,
            processes=self._processes,
            network=self.network,
        )
        self.executions = Executions(self.world)
        self.scheduler = Scheduler(self.world, self.executions)
        self.builds = Builds(self.world, self._report)
        self.instances = Instances(self.world)
        self.services = Services(self.world, self.front.url)
        self.front.serve(serving.PATH, self._ask_service, anonymous=True)
        messages = Messages(self.world, self._report)
        messages.listen(self.builds.deliver)
        self.front.serve(pubsub.PUBLISH, messages.answer)
        docker = artifactregistry.Docker(self.world)
        self.front.serve(artifactregistry.PATH, docker.answer, anonymous=True)
        self.front.serve(compute_api.PATH, compute_api.Compute(self.world, self.instances).answer)
        self._notifier = Notifier(self.world, messages)
        self.providers = Providers(
            catalogue.kinds(self.world, self.scheduler, self.instances, self.services),
            catalogue.invokes(self.world),
            self.resources,
            functools.partial(apis.require, self.resources),
        )
        self._last_asked = time.monotonic()

    def start(self) -> None:
        """Start everything, and what ran when the cloud was stopped."""
        self._storage.start()
        self.x.start()
        (self.home / "x-port").write_text(self.x.url.rpartition(":")[2])
        self.front.start()
        self.providers.start()
        self.instances.resume()
        self.builds.resume()

    def stop(self) -> None:
        """End everything that was started, and leave nothing running; once is enough."""
        if self._lock is None:
            return
        self._processes.stop()
        self._machine.close()
        self.providers.stop()
        self.builds.stop()
        self.instances.stop()
        self.front.stop()
        self.x.stop()
        self._storage.kill()
        os.close(self._lock)
        self._lock = None

    def network(self, name: str, email: str, metadata: Mapping[str, str]) -> dict[str, str]:
        """The environment that puts a process on this cloud's network as the account `email`."""
        return {
            **self.front.identity(name, email, metadata),
            "X_API_URL": self.x.url,
            "CLOCK": self.clock.now().isoformat(),
        }

    def heal(self) -> None:
        """Start the storage server again if it died."""
        self._storage.ensure()

    def asked(self) -> None:
        """Somebody uses the cloud."""
        self._last_asked = time.monotonic()

    def quiet(self) -> float:
        """Seconds since anybody used the cloud, or anything ran on it."""
        if self._processes.busy or self.builds.running():
            self.asked()
        return time.monotonic() - self._last_asked

    def tick(self) -> list[Fired]:
        """Make it the time of the next tick, fire what is due, and wait until it has ended."""
        self.heal()
        return self.scheduler.tick()

    def run(self, name: str) -> Fired | Execution:
        """Run a Run job now, or force a scheduler job to fire; UserError if there is neither."""
        self.heal()
        job = run.find(name, self.world)
        if job is not None:
            return self.executions.run(job)
        for scheduled in self.resources.of_type(scheduler.JOB):
            if name in (scheduled.id, short(scheduled.id)):
                return self.scheduler.fire(scheduled)
        known = sorted({short(job.id) for job in self.resources.of_type(run.JOB)})
        raise UserError(
            f"there is no job {name!r}; "
            + (f"there are {', '.join(known)}" if known else "none is declared yet")
        )

    def fire(self, name: str) -> Fired:
        """Force a scheduler job, by its short name, to fire; UserError if there is none."""
        self.heal()
        for scheduled in self.resources.of_type(scheduler.JOB):
            if short(scheduled.id) == name:
                return self.scheduler.fire(scheduled)
        raise UserError(f"there is no scheduler job {name!r}")

    def suspend(self, grant: str) -> None:
        """Let a declared grant not hold until it is restored; UserError if there is none."""
        if grant not in iam.grants(self.resources):
            raise UserError(f"no grant {grant!r} is declared")
        self.suspended.add(grant)

    def status(self) -> dict[str, Any]:
        """What there is and what happened, as JSON."""
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

    def _grants_in_force(self) -> list[Grant]:
        declared = iam.grants(self.resources)
        return [grant for name, grant in declared.items() if name not in self.suspended]

    def _ask_service(self, path: re.Match[str], request: Request, member: str) -> Response:
        self.asked()
        return self.services.answer(path, request, member)

    def _finalized(self, attributes: Mapping[str, str], metadata: Mapping[str, Any]) -> None:
        self.asked()
        self._notifier.finalized(attributes, metadata)

    def _report(self, problem: str) -> None:
        _log.warning(problem)
        self.problems.append(f"{_hour(self.clock.now())} {problem}")


def _hour(time_: datetime) -> str:
    return time_.isoformat(timespec="seconds")


def _x_server(home: Path, clock: LocalClock) -> XServer:
    """X on the port that it had before, if that is still free."""
    file = home / "x-port"
    kept = int(file.read_text()) if file.exists() else 0
    try:
        return XServer(home / "x", clock.now, port=kept)
    except UserError:
        return XServer(home / "x", clock.now)


def _locked(home: Path) -> int:
    """An open descriptor of the home's lock, which goes with the process; UserError if taken."""
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # Somebody who only looks whether it is taken holds it for a moment.
    for _ in range(50):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        time.sleep(0.02)
    os.close(descriptor)
    raise UserError(f"a local cloud runs in {home} already: `python -m local down` stops it")
