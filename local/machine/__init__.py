"""The machine on which containers, Cloud Build's steps and VMs run, with no Docker daemon.

Images are folders (`images`, `build`), a container is a process in a file system of its own
(`sandbox`, `containers`), a build's steps (`steps`) and a VM (`vm`) are such processes too, with a
`docker` command (`cli`) and stand-ins for Google's commands on their PATH. It works as root and as
an ordinary user who may make user namespaces.

It breaks on: heredocs and ONBUILD in a Dockerfile, ADD of addresses and archives, `docker run -d`
and what goes with it, systemd units beyond the simple ones. It cannot show: what a RUN does (it is
left out: dependencies and sizes are those of the virtual environment and of the host's own /usr),
layers and their download, USER and file owners, limits on memory and processors, and GPUs.
"""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from local.machine import containers, sandbox, steps, vm
from local.machine.build import Request, build
from local.machine.containers import Container
from local.machine.context import digest
from local.machine.host import Host
from local.machine.images import Images, Reference
from local.machine.sandbox import Sandbox
from pipeline.errors import UserError

__all__ = ["Machine"]


class Machine:
    """One machine and one registry (for every host's name), with their state in a folder.

    Safe to use from several threads and processes. `network` is the environment that the machine
    adds to every process and to every container that one starts in turn. A running process is a
    `Popen` that leads a group of its own: SIGTERM reaches the program, killing it ends all that the
    program started, and so does the end of this process.
    """

    def __init__(self, root: Path) -> None:
        root = root.resolve()
        self._root = root
        self._host = Host.here(root)
        self._images = Images(self._host.images, root / "docker")
        self._lifeline, self._held = os.pipe()
        self._checked = False

    def build(
        self,
        context: Path,
        dockerfile: Path,
        tag: str,
        labels: Mapping[str, str] | None = None,
        *,
        arguments: Mapping[str, str] | None = None,
        target: str = "",
        note: Callable[[str], None] | None = None,
    ) -> str:
        """Builds an image on this machine; returns its digest. `note` hears what is left out."""
        images = Images(self._host.images, self._root / "docker", note=note or self._images.note)
        request = Request(
            context, dockerfile, [tag], dict(labels or {}), dict(arguments or {}), target
        )
        return build(request, images, self._host.standins)

    def context_digest(self, context: Path, dockerfile: Path) -> str:
        """The digest of what a build would see; see `context`."""
        return digest(context, dockerfile)

    def push(self, ref: str) -> str:
        """Publishes an image of this machine in the registry; returns its digest."""
        return self._images.push(ref)

    def retag(self, new_ref: str, source_ref: str) -> str:
        """Names an image of the registry anew, there; returns its digest, which stays the same."""
        return self._images.retag(new_ref, source_ref)

    def index(self, new_ref: str, source_ref: str) -> str:
        """Names an index of one image of the registry; returns the index's digest."""
        return self._images.index(new_ref, source_ref)

    def manifest(self, ref: str) -> tuple[bytes, str] | None:
        """The document that a name of the registry means, and its media type."""
        digest = self.resolve(ref)
        return None if digest is None else self._images.manifest(digest)

    def take(self, ref: str, data: bytes) -> str | None:
        """Lets a name of the registry mean a manifest; see `Images.take`."""
        return self._images.take(Reference.parse(ref), data)

    def resolve(self, ref: str) -> str | None:
        """The digest that the registry gives for a tag or a digest."""
        return self._images.published(Reference.parse(ref))

    def tags(self, repository: str) -> dict[str, str]:
        """The registry's digest by tag."""
        return self._images.registry.tags(Reference.parse(repository).repository)

    def drop(self, prefix: str) -> None:
        """Takes every repository whose name begins with `prefix` out of the registry, whole."""
        self._images.registry.drop(prefix)

    def untag(self, ref: str) -> None:
        """Takes a tag out of the registry; the image stays reachable by its digest."""
        self._images.registry.remove(Reference.parse(ref))

    def labels(self, ref: str) -> dict[str, str]:
        """The labels of an image of the registry."""
        return self._images.config(self._published(ref)).get("Labels", {})

    def run(
        self,
        image: str,
        *,
        args: Sequence[str] = (),
        entrypoint: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        network: Mapping[str, str] | None = None,
        log: IO[bytes],
    ) -> "subprocess.Popen[bytes]":
        """Runs an image of the registry, as a Run job does: a tag means what it means now.

        Raises:
            UserError: The registry has no such image, or this machine cannot run containers.
        """
        container = Container(self._published(image), args, entrypoint, dict(env or {}))
        return self._start(
            containers.sandbox(container, self._images, self._host, dict(network or {})), log
        )

    def steps(
        self,
        build: Mapping[str, Any],
        substitutions: Mapping[str, str],
        *,
        network: Mapping[str, str] | None = None,
        log: IO[bytes],
    ) -> int:
        """Runs the `build` of a trigger (camelCase); returns 0 or the failed step's status.

        Raises:
            UserError: An unknown substitution or key, or an image that is not in the registry.
        """
        return steps.run(
            build,
            substitutions,
            on=self._host,
            start=self._start,
            network=dict(network or {}),
            log=log,
        )

    def boot(
        self,
        user_data: str,
        disk: Path,
        *,
        network: Mapping[str, str] | None = None,
        log: IO[bytes],
    ) -> "subprocess.Popen[bytes]":
        """Boots a VM whose /var is the folder `disk`; returns its power.

        It ends with 0 once the VM has powered itself off and with 1 when nothing runs any more
        without that (a VM at Google would stay up). SIGTERM is a loss of power with two seconds'
        notice.

        Raises:
            UserError: The user-data is not what cloud-init takes.
        """
        disk = disk.resolve()
        layer = self._root / "boots" / hashlib.sha256(os.fsencode(disk)).hexdigest()[:16]
        parsed = vm.parse(user_data)
        return self._start(vm.sandbox(parsed, disk, layer, self._host, dict(network or {})), log)

    def powered_off(self, disk: Path) -> bool:
        """Whether the VM of this disk has been powered off from within since its last boot."""
        return vm.powered_off(disk)

    def close(self) -> None:
        """Ends all that runs; nothing can be started any more."""
        os.close(self._held)

    def _published(self, ref: str) -> str:
        digest = self.resolve(ref)
        if digest is None:
            raise UserError(f"image {ref} is not in the registry: build and push it first")
        return digest

    def _start(self, made: Sandbox, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        if not self._checked:
            self._check()
        return sandbox.start(made, log, self._lifeline)

    def _check(self) -> None:
        """Raises UserError where this machine cannot run a sandbox."""
        with tempfile.TemporaryFile() as log:
            probe = Sandbox(["/bin/true"], {}, stage=str(self._host.stage))
            if sandbox.start(probe, log, self._lifeline).wait() != 0:
                log.seek(0)
                raise UserError(" ".join(log.read().decode().split()))
        self._checked = True
