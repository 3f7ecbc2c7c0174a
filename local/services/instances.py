"""Machines that run: booted from their user-data, stopped by their time limit, booted again."""

import shutil
import subprocess
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Literal, Self

from pydantic import BaseModel

from local.services.processes import GRACE, Stopping, end
from local.services.records import Records
from local.services.world import GoogleError, World, section, short, unique_number
from pipeline.errors import UserError

# Seconds between two looks at a running machine.
_LOOK = 0.2


class Instance(BaseModel):
    """One machine as it was declared, and how it is; `limit` is its longest run in seconds."""

    id: str
    status: Literal["RUNNING", "TERMINATED"]
    started: datetime
    account: str
    user_data: str
    metadata: dict[str, str]
    limit: int | None
    at_limit: Literal["STOP", "DELETE"]
    reason: str = ""
    log: Path

    @classmethod
    def declared(cls, name: str, inputs: dict[str, Any], world: World, now: datetime) -> Self:
        """The machine that `inputs`, merged with its template's, declare."""
        attributes: dict[str, str] = section(inputs, "metadata")
        scheduling = section(inputs, "scheduling")
        limit = section(scheduling, "maxRunDuration").get("seconds")
        _, project, _, zone, _, short_name = name.split("/")
        return cls(
            id=name,
            status="RUNNING",
            started=now,
            account=section(inputs, "serviceAccount").get("email") or world.default_account,
            user_data=attributes.get("user-data", ""),
            # Source: https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys
            metadata={
                "instance/name": short_name,
                "instance/id": unique_number(name)[:19],
                "instance/hostname": f"{short_name}.{zone}.c.{project}.internal",
                "instance/zone": f"projects/{world.number}/zones/{zone}",
                "instance/machine-type": (
                    f"projects/{world.number}/machineTypes/{inputs.get('machineType', '')}"
                ),
                "project/numeric-project-id": world.number,
                **{f"instance/attributes/{key}": value for key, value in attributes.items()},
            },
            limit=int(limit) if limit else None,
            at_limit=scheduling.get("instanceTerminationAction") or "STOP",
            log=world.log("instances", short_name),
        )


class Instances:
    """All machines; each is booted and watched by a thread of its own."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._records = Records(world.home / "instances.json", Instance)
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._unwanted: set[str] = set()

    def resume(self) -> None:
        """Boot again what was running when the local cloud stopped."""
        for instance in self.all():
            if instance.status == "RUNNING":
                self._boot(instance.model_copy(update={"started": self._world.clock.now()}))

    def stop(self) -> None:
        """Wait for the threads; the machines' processes have been ended."""
        for thread in list(self._threads.values()):
            thread.join()

    def all(self) -> list[Instance]:
        """All machines that exist, oldest first."""
        return list(self._records.all().values())

    def status(self, name: str) -> str | None:
        """How a machine is, or None if there is none of this id."""
        instance = self._records.get(name)
        return instance.status if instance else None

    def boot_new(self, instance: Instance) -> None:
        """Create a machine and boot it."""
        with self._lock:
            if self._records.get(instance.id) is not None:
                raise GoogleError(f"The resource '{instance.id}' already exists")
            shutil.rmtree(self._disk(instance.id), ignore_errors=True)
            instance.log.unlink(missing_ok=True)
            self._boot(instance)

    def redeclare(self, instance: Instance) -> None:
        """Let what is declared hold from the next boot on."""
        old = self._records.get(instance.id)
        if old is not None:
            kept = {"status": old.status, "started": old.started, "reason": old.reason}
            self._records.put(instance.id, instance.model_copy(update=kept))

    def delete(self, name: str) -> None:
        """Pull the plug and remove the machine with its disk."""
        self._unwanted.add(name)
        thread = self._threads.get(name)
        if thread is not None:
            thread.join()
        self._remove(name)
        self._unwanted.discard(name)

    def _remove(self, name: str) -> None:
        self._records.remove(name)
        shutil.rmtree(self._disk(name), ignore_errors=True)

    def _disk(self, name: str) -> Path:
        return self._world.home / "disks" / name.replace("/", ".")

    def _boot(self, instance: Instance) -> None:
        self._records.put(instance.id, instance)
        thread = threading.Thread(target=self._run, args=(instance,), name=short(instance.id))
        self._threads[instance.id] = thread
        thread.start()

    def _run(self, instance: Instance) -> None:
        disk = self._disk(instance.id)
        disk.mkdir(parents=True, exist_ok=True)
        with instance.log.open("ab", buffering=0) as log:
            # What is kept here is the serial console, which needs no grant.
            if unseen := self._world.not_logged(instance.account):
                log.write(f"-- the machine's log {unseen}\n".encode())
            process = self._start(instance, disk, log)
            reason = self._watch(instance.id, process, disk)
            if process is not None:
                end([process], grace=0 if instance.id in self._unwanted else GRACE)
                self._world.processes.forget(process)
            if reason:
                log.write(f"-- {reason}\n".encode())
                self._switch_off(instance.id, reason)

    def _start(
        self, instance: Instance, disk: Path, log: IO[bytes]
    ) -> subprocess.Popen[bytes] | None:
        """The machine's process; None where nothing runs on it, as on one without user-data."""
        world = self._world

        def boot() -> subprocess.Popen[bytes]:
            network = world.network(short(instance.id), instance.account, instance.metadata)
            return world.machine.boot(instance.user_data, disk, network=network, log=log)

        try:
            if instance.user_data:
                return world.processes.start(boot)
            log.write(b"-- the metadata has no user-data: nothing runs\n")
        except Stopping:
            pass
        except UserError as error:
            log.write(f"-- {error}\n".encode())
        return None

    def _watch(self, name: str, process: subprocess.Popen[bytes] | None, disk: Path) -> str:
        """Wait until the machine is off; why it is, or nothing if that is not its own doing.

        A machine on which nothing runs any more stays on, as a real one does.
        """
        while not self._world.processes.stopping and name not in self._unwanted:
            if process is not None and process.poll() is not None:
                self._world.processes.forget(process)
                if self._world.machine.powered_off(disk):
                    return "it powered itself off"
            instance = self._records.get(name)
            if instance is not None and instance.limit is not None:
                ran = self._world.clock.now() - instance.started
                if ran >= timedelta(seconds=instance.limit):
                    return f"it ran for its maximum of {instance.limit} s"
            time.sleep(_LOOK)
        return ""

    def _switch_off(self, name: str, reason: str) -> None:
        instance = self._records.get(name)
        if instance is None:
            return
        if reason.startswith("it ran") and instance.at_limit == "DELETE":
            self._remove(name)
        else:
            update = {"status": "TERMINATED", "reason": reason}
            self._records.put(name, instance.model_copy(update=update))
