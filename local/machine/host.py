"""What a sandbox gets from the host: this Python; steps and VMs the means to run containers, too.

Inside a step or a VM everything of the machine lies below /opt/machine: the images, the code of the
`docker` command, and the host's own system folders, from which its containers are made in turn.
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from local.machine.sandbox import SYSTEM, Bind
from pipeline.errors import UserError

VENV = "/opt/venv"
INSIDE = Path("/opt/machine")
DOCKER_FOLDER = "/var/lib/docker"  # where a VM or a build keeps the names of its local images
# The names of the variables that are the machine's network: see `network`.
NETWORK = "MACHINE_NETWORK"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Host:
    """Where, on this machine or within one of its sandboxes, things lie.

    Attributes:
        images: The folder of all images and of the registry.
        stage: An empty folder to mount on.
        standins: The stand-ins, by the names of the commands.
        venv: The virtual environment that is lent.
        system: The folder that holds the host's system folders.
    """

    images: Path
    stage: Path
    standins: Path
    venv: Path
    system: Path

    @classmethod
    def here(cls, root: Path) -> "Host":
        """This machine, with its state below `root`."""
        if _REPOSITORY.parts[1] in SYSTEM:
            raise UserError(
                f"the repository is in {_REPOSITORY}, which containers see as part of the system:"
                " move it, for example below /home"
            )
        tools = root / "tools"
        host = cls(root / "images", root / "stage", tools / "usr/bin", Path(sys.prefix), Path("/"))
        for folder in (host.images, host.stage):
            folder.mkdir(parents=True, exist_ok=True)
        _install_standins(tools)
        return host

    @classmethod
    def within(cls) -> "Host":
        """The same, seen from within a step or a VM."""
        return cls(
            images=INSIDE / "images",
            stage=INSIDE / "stage",
            standins=INSIDE / "tools/usr/bin",
            venv=Path(VENV),
            system=INSIDE / "host",
        )

    @property
    def tools(self) -> Path:
        """The stand-ins, as a layer over the system."""
        return self.standins.parents[1]

    def python(self) -> list[Bind]:
        """The virtual environment at a path of its own, and the interpreter where it looks for it.

        Not at its own path: an editable install in it points to the repository, which must not
        exist in a container.
        """
        prefixes = {sys.base_prefix, os.path.realpath(sys.base_prefix)}
        lent = sorted(prefix for prefix in prefixes if not prefix.startswith("/usr"))
        return [
            Bind(str(self.venv), VENV, read_only=True),
            *(Bind(prefix, prefix, read_only=True) for prefix in lent),
        ]

    def machinery(self) -> list[Bind]:
        """What a step or a VM needs to run containers of its own."""
        code = INSIDE / "lib"
        system = (top for top in SYSTEM if Path("/", top).is_dir())
        return [
            *self.python(),
            Bind(str(self.images), str(INSIDE / "images")),
            Bind(str(self.stage), str(INSIDE / "stage")),
            Bind(str(self.tools), str(INSIDE / "tools"), read_only=True),
            *(
                Bind(str(_REPOSITORY / path), str(code / path), read_only=True)
                for path in ("local/machine", "pipeline/errors.py")
            ),
            *(
                Bind(f"/{top}", str(INSIDE / "host" / top), read_only=True)
                for top in system
                if not Path("/", top).is_symlink()
            ),
        ]


def network(variables: dict[str, str]) -> dict[str, str]:
    """The environment by which the machine's network reaches the containers within, too."""
    return {**variables, NETWORK: " ".join(variables)}


def inherited_network() -> dict[str, str]:
    """Within a step or a VM: the variables that its containers get without being told."""
    names = os.environ.get(NETWORK, "").split()
    return {name: os.environ[name] for name in names if name in os.environ}


def _install_standins(tools: Path) -> None:
    """Makes the layer in which each stand-in is the command that it stands in for."""
    # Wherever the host may have the real one, so that none is found before its stand-in.
    for folder in (tools / "usr/bin", tools / "usr/local/bin", tools / "usr/sbin"):
        folder.mkdir(parents=True, exist_ok=True)
        for source in (_REPOSITORY / "local/machine/standins").iterdir():
            if source.is_file() and source.name != "__init__.py":
                _install(source.read_bytes(), folder / source.stem, tools.parent)


def _install(program: bytes, target: Path, near: Path) -> None:
    if target.exists() and target.read_bytes() == program:
        return
    with tempfile.NamedTemporaryFile(dir=near, delete=False) as file:
        file.write(program)
    Path(file.name).chmod(0o755)
    Path(file.name).replace(target)
