"""Stands in for `docker run`: a container sees its image, its volumes, and the host's system.

It cannot show USER and file owners, limits on memory and processors, and capabilities other than
SYS_ADMIN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from local.containers.bubblewrap import Bind, Sandbox
from local.containers.host import PATH, Host
from local.containers.image_store import ImageStore
from pipeline.errors import UserError


@dataclass(frozen=True)
class Container:
    """The options of `docker run`. `entrypoint` replaces the image's ENTRYPOINT and its CMD."""

    image: str
    arguments: Sequence[str] = ()
    entrypoint: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    binds: Sequence[Bind] = ()
    directory: str = ""
    name: str = ""
    read_only: bool = False
    tmpfs: Sequence[str] = ()
    privileged: bool = False
    isolated: bool = False

    def sandbox(self, images: ImageStore, host: Host, network: Mapping[str, str]) -> Sandbox:
        """How the container runs. Pulls the image where this machine does not have it.

        Raises:
            UserError: There is no such image, or there is no command.
        """
        digest = images.need(self.image)
        config = images.config(digest)
        if self.entrypoint is None:
            arguments: list[str] = [*self.arguments] or config.get("Cmd") or []
            entrypoint: list[str] = config.get("Entrypoint") or []
            command = [*entrypoint, *arguments]
        else:
            command = [*self.entrypoint, *self.arguments]
        if not command:
            raise UserError(f"{self.image}: no command specified, and the image has none")
        return Sandbox(
            command=command,
            environment={
                "PATH": PATH,
                "HOME": "/root",
                "HOSTNAME": self.name or digest[7:19],
                **dict(entry.split("=", 1) for entry in config.get("Env", [])),
                **({} if self.isolated else network),
                **self.environment,
            },
            directory=self.directory or config.get("WorkingDir") or "/",
            layers=[str(images.root(digest))],
            binds=[*host.python(), *self.binds],
            host=str(host.system),
            read_only=self.read_only,
            writable=self.tmpfs,
            privileged=self.privileged,
            isolated=self.isolated,
        )
