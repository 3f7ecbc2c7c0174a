"""The interface of this package: images, containers, builds and VMs of one machine."""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from local.containers import bubblewrap, build_context, vm
from local.containers.bubblewrap import Sandbox
from local.containers.cloud_build import Worker
from local.containers.docker_build import Build
from local.containers.docker_run import Container
from local.containers.host import PATH, Host
from local.containers.image_store import ImageStore
from local.containers.references import Reference
from pipeline.errors import UserError

REFUSED = (
    "this kernel refuses the namespaces that containers run in ({error}): run as root, or allow"
    " them to users (sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000"
    " kernel.apparmor_restrict_unprivileged_userns=0; inside Docker: docker run --privileged)"
)


class ContainerRuntime:
    """One machine and one registry, which answers for every host; a folder holds their state.

    Safe to use from several threads and processes. `network` is an environment for the process and
    for every container that it starts in turn. What runs is returned as a `Popen`, the leader of a
    process group of its own: SIGTERM reaches the program, and a kill ends all that the program
    started. The end of this process kills everything, too.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._host = Host.here(self._root)
        self._images = ImageStore(self._host.images, self._root / "docker")
        self._lifeline, self._held = os.pipe()
        self._checked = False

    def build(
        self,
        context: Path,
        dockerfile: Path,
        tag: str,
        *,
        arguments: Mapping[str, str] | None = None,
        target: str = "",
    ) -> str:
        """Builds an image on this machine; returns its digest. Notes on stderr what is left out."""
        build = Build(
            self._images,
            self._host.standins,
            context,
            dockerfile,
            tags=[tag],
            arguments=arguments or {},
            target=target,
        )
        return build.run()

    def context_digest(self, context: Path, dockerfile: Path) -> str:
        """The digest of the files that a build would see; see `build_context.digest`."""
        return build_context.digest(context, dockerfile)

    def push(self, ref: str) -> str:
        """Pushes an image of this machine to the registry; returns its digest."""
        return self._images.push(ref)

    def index(self, new_ref: str, source_ref: str) -> str:
        """Puts an index of one image into the registry; returns the index's digest."""
        return self._images.index(new_ref, source_ref)

    def manifest(self, ref: str) -> tuple[bytes, str] | None:
        """The manifest that a name means in the registry, and its media type."""
        digest = self.resolve(ref)
        return None if digest is None else self._images.manifest(digest)

    def take(self, ref: str, data: bytes) -> str | None:
        """Puts a manifest into the registry under a name; see `ImageStore.take`."""
        return self._images.take(Reference.parse(ref), data)

    def resolve(self, ref: str) -> str | None:
        """The digest that a name means in the registry, if it has such a name."""
        return self._images.published(Reference.parse(ref))

    def retag(self, new_ref: str, source_ref: str) -> str | None:
        """Lets a tag of the registry mean the image of another name; returns its digest."""
        found = self.manifest(source_ref)
        return None if found is None else self.take(new_ref, found[0])

    def tags(self, repository: str) -> dict[str, str]:
        """The registry's digests of a repository, by tag."""
        name = Reference.parse(repository).repository
        names = self._images.registry.all()
        return {ref.version: digest for ref, digest in names if ref.repository == name}

    def drop(self, prefix: str) -> None:
        """Removes every repository whose name begins with `prefix` from the registry."""
        self._images.registry.drop(prefix)

    def untag(self, ref: str) -> None:
        """Removes a tag from the registry. The image keeps its digest as a name."""
        self._images.registry.remove(Reference.parse(ref))

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
        """Runs an image of the registry.

        Raises:
            UserError: The registry does not have the image, or this machine cannot run containers.
        """
        digest = self.resolve(image)
        if digest is None:
            raise UserError(f"image {image} is not in the registry: build and push it first")
        container = Container(digest, args, entrypoint, env or {})
        return self._start(container.sandbox(self._images, self._host, network or {}), log)

    def steps(
        self,
        build: Mapping[str, Any],
        substitutions: Mapping[str, str],
        *,
        network: Mapping[str, str] | None = None,
        log: IO[bytes],
    ) -> int:
        """Runs the `build` of a trigger, in the API's camelCase; returns 0 or a step's status.

        Raises:
            UserError: A substitution or a key is unknown, or the registry does not have an image.
        """
        with tempfile.TemporaryDirectory(dir=self._root) as folder:
            worker = Worker(self._host, self._start, network or {}, log, Path(folder))
            return worker.run(build, substitutions)

    def boot(
        self,
        user_data: str,
        disk: Path,
        *,
        network: Mapping[str, str] | None = None,
        log: IO[bytes],
    ) -> "subprocess.Popen[bytes]":
        """Boots a VM whose /var is the folder `disk`.

        The status is 0 when the VM powered itself off, and 1 when nothing runs any more and the VM
        is still on (at Google it would stay up). SIGTERM is a loss of power with two seconds'
        notice.

        Raises:
            UserError: cloud-init would not take the user-data, or it is not stood in for.
        """
        disk = disk.resolve()
        layer = self._root / "boots" / hashlib.sha256(os.fsencode(disk)).hexdigest()[:16]
        return self._start(
            vm.sandbox(vm.parse(user_data), disk, layer, self._host, network or {}), log
        )

    def powered_off(self, disk: Path) -> bool:
        """Whether the VM of this disk powered itself off and has not been booted since."""
        return vm.powered_off(disk)

    def close(self) -> None:
        """Kills everything that runs. Nothing can be started afterwards."""
        os.close(self._held)

    def _start(self, sandbox: Sandbox, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        if not self._checked:
            self._check()
        return bubblewrap.start(sandbox, log, self._lifeline)

    def _check(self) -> None:
        """Raises UserError where this machine cannot run a sandbox."""
        with tempfile.TemporaryFile() as log:
            probe = Sandbox(["true"], {"PATH": PATH})
            if bubblewrap.start(probe, log, self._lifeline).wait() != 0:
                log.seek(0)
                raise UserError(REFUSED.format(error=" ".join(log.read().decode().split())))
        self._checked = True
