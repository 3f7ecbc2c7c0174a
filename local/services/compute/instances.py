"""Instances: booted from their user-data, stopped by their time limit, booted again.

It cannot show GPUs, zones without capacity, preemption, disks, nor a network of their own.
"""

import shutil
import subprocess
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Literal, Self

from pydantic import BaseModel

from local.records import Records
from local.services.context import Context, GoogleError, section, short, unique_number
from local.services.processes import GRACE, Stopping, end
from pipeline.errors import UserError

# Seconds between two checks of a running instance.
_INTERVAL = 0.2


class Instance(BaseModel):
    """One instance as it was declared, and its status. `limit` is its longest run in seconds."""

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
    def declared(cls, name: str, inputs: dict[str, Any], context: Context) -> Self:
        """Returns the instance that `inputs`, merged with its template's, declare."""
        attributes: dict[str, str] = section(inputs, "metadata")
        scheduling = section(inputs, "scheduling")
        limit = section(scheduling, "maxRunDuration").get("seconds")
        _, project, _, zone, _, short_name = name.split("/")
        return cls(
            id=name,
            status="RUNNING",
            started=context.clock.now(),
            account=section(inputs, "serviceAccount").get("email") or context.default_account,
            user_data=attributes.get("user-data", ""),
            # Source: https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys
            metadata={
                "instance/name": short_name,
                "instance/id": unique_number(name)[:19],
                "instance/hostname": f"{short_name}.{zone}.c.{project}.internal",
                "instance/zone": f"projects/{context.number}/zones/{zone}",
                "instance/machine-type": (
                    f"projects/{context.number}/machineTypes/{inputs.get('machineType', '')}"
                ),
                "project/numeric-project-id": context.number,
                **{f"instance/attributes/{key}": value for key, value in attributes.items()},
            },
            limit=int(limit) if limit else None,
            at_limit=scheduling.get("instanceTerminationAction") or "STOP",
            log=context.log("instances", short_name),
        )


class Instances:
    """All instances. A thread of its own boots and watches each."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._records = Records(context.home / "instances.json", Instance)
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._unwanted: set[str] = set()

    def resume(self) -> None:
        """Boots the instances again that ran when the local cloud stopped."""
        for instance in self.all():
            if instance.status == "RUNNING":
                self._boot(instance.model_copy(update={"started": self._context.clock.now()}))

    def stop(self) -> None:
        """Waits for the threads, once the processes have been ended."""
        for thread in list(self._threads.values()):
            thread.join()

    def all(self) -> list[Instance]:
        """Returns all instances that exist, oldest first."""
        return self._records.all()

    def status(self, name: str) -> str | None:
        """Returns the status of the instance with this id, or None if there is none."""
        instance = self._records.get(name)
        return instance.status if instance else None

    def boot_new(self, instance: Instance) -> None:
        """Creates an instance and boots it."""
        with self._lock:
            if self._records.get(instance.id) is not None:
                raise GoogleError(f"The resource '{instance.id}' already exists")
            shutil.rmtree(self._disk(instance.id), ignore_errors=True)
            instance.log.unlink(missing_ok=True)
            self._boot(instance)

    def redeclare(self, instance: Instance) -> None:
        """Lets a changed declaration hold from the next boot on."""
        old = self._records.get(instance.id)
        if old is not None:
            kept = {"status": old.status, "started": old.started, "reason": old.reason}
            self._records.put(instance.id, instance.model_copy(update=kept))

    def delete(self, name: str) -> None:
        """Kills an instance and removes it with its disk."""
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
        return self._context.home / "disks" / name.replace("/", ".")

    def _boot(self, instance: Instance) -> None:
        self._records.put(instance.id, instance)
        thread = threading.Thread(target=self._run, args=(instance,), name=short(instance.id))
        self._threads[instance.id] = thread
        thread.start()

    def _run(self, instance: Instance) -> None:
        disk = self._disk(instance.id)
        disk.mkdir(parents=True, exist_ok=True)
        with instance.log.open("ab", buffering=0) as log:
            # This file is the serial console, which needs no grant.
            if unseen := self._context.not_logged(instance.account):
                log.write(f"-- the machine's log {unseen}\n".encode())
            process = self._start(instance, disk, log)
            reason = self._watch(instance.id, process, disk)
            if process is not None:
                end([process], grace=0 if instance.id in self._unwanted else GRACE)
                self._context.processes.forget(process)
            if reason:
                log.write(f"-- {reason}\n".encode())
                self._switch_off(instance.id, reason)

    def _start(
        self, instance: Instance, disk: Path, log: IO[bytes]
    ) -> subprocess.Popen[bytes] | None:
        """Returns the instance's process, or None where nothing runs, as without user-data."""
        context = self._context

        def boot() -> subprocess.Popen[bytes]:
            network = context.network(short(instance.id), instance.account, instance.metadata)
            return context.runtime.boot(instance.user_data, disk, network=network, log=log)

        try:
            if instance.user_data:
                return context.processes.start(boot)
            log.write(b"-- the metadata has no user-data: nothing runs\n")
        except Stopping:
            pass
        except UserError as error:
            log.write(f"-- {error}\n".encode())
        return None

    def _watch(self, name: str, process: subprocess.Popen[bytes] | None, disk: Path) -> str:
        """Waits until the instance is off; returns why, or nothing if somebody else ended it.

        An instance on which nothing runs any more stays on, as a real one does.
        """
        while not self._context.processes.stopping and name not in self._unwanted:
            if process is not None and process.poll() is not None:
                self._context.processes.forget(process)
                if self._context.runtime.powered_off(disk):
                    return "it powered itself off"
            instance = self._records.get(name)
            if instance is not None and instance.limit is not None:
                ran = self._context.clock.now() - instance.started
                if ran >= timedelta(seconds=instance.limit):
                    return f"it ran for its maximum of {instance.limit} s"
            time.sleep(_INTERVAL)
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
