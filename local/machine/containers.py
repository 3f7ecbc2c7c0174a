"""`docker run`: an image, what was declared for it, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from local.machine.host import PATH, Host
from local.machine.images import Images
from local.machine.sandbox import Bind, Sandbox
from pipeline.errors import UserError


@dataclass(frozen=True)
class Container:
    """What `docker run` is told; `entrypoint` replaces the image's entry point and its CMD."""

    image: str
    arguments: Sequence[str] = ()
    entrypoint: Sequence[str] | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])
    binds: Sequence[Bind] = ()
    directory: str = ""
    name: str = ""
    read_only: bool = False
    tmpfs: Sequence[str] = ()
    privileged: bool = False
    isolated: bool = False


def sandbox(container: Container, images: Images, host: Host, network: dict[str, str]) -> Sandbox:
    """How a container runs; the image is pulled where this machine has not got it.

    Raises:
        UserError: There is no such image, or it names no command.
    """
    digest = images.need(container.image)
    config = images.config(digest)
    if container.entrypoint is None:
        arguments: list[str] = [*container.arguments] or config.get("Cmd") or []
        entrypoint: list[str] = config.get("Entrypoint") or []
        command = [*entrypoint, *arguments]
    else:
        command = [*container.entrypoint, *container.arguments]
    if not command:
        raise UserError(f"{container.image}: no command specified, and the image has none")
    return Sandbox(
        command=command,
        environment={
            "PATH": PATH,
            "HOME": "/root",
            "HOSTNAME": container.name or digest[7:19],
            **dict(entry.split("=", 1) for entry in config.get("Env", [])),
            **({} if container.isolated else network),
            **container.environment,
        },
        stage=str(host.stage),
        directory=container.directory or config.get("WorkingDir") or "/",
        layers=[str(images.root(digest))],
        binds=[*host.python(), *container.binds],
        host=str(host.system),
        read_only=container.read_only,
        writable=container.tmpfs,
        privileged=container.privileged,
        isolated=container.isolated,
    )
