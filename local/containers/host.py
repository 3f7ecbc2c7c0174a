"""What a sandbox gets from the host.

Every sandbox gets this Python. A step or a VM gets, below /opt/machine, what it needs to run
containers of its own: the images, the code of the `docker` command, and the host's system folders
without the stand-ins.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.containers.bubblewrap import SYSTEM, Bind
from local.containers.files import write
from pipeline.errors import UserError

VENV = "/opt/venv"
INSIDE = Path("/opt/machine")
DOCKER_FOLDER = "/var/lib/docker"  # where a VM or a build keeps the names of its local images
# The variable that lists the names of the other variables of the network; see `network`.
NETWORK = "MACHINE_NETWORK"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Host:
    """Where things lie, on this machine or inside one of its sandboxes.

    Attributes:
        images: The folder of all images and of the registry.
        standins: The folder of the stand-ins, named like the commands.
        venv: The virtual environment that every sandbox gets.
        system: The folder that holds the host's system folders.
    """

    images: Path
    standins: Path
    venv: Path
    system: Path

    @classmethod
    def here(cls, root: Path) -> "Host":
        """The places on this machine, with its state below `root`.

        Raises:
            UserError: Containers would see the repository.
        """
        if _REPOSITORY.parts[1] in SYSTEM:
            raise UserError(
                f"the repository is in {_REPOSITORY}, which containers see as part of the system:"
                " move it, for example below /home"
            )
        tools = root / "tools"
        host = cls(root / "images", tools / "usr/bin", Path(sys.prefix), Path("/"))
        host.images.mkdir(parents=True, exist_ok=True)
        _install_standins(tools)
        return host

    @classmethod
    def within(cls) -> "Host":
        """The places inside a step or a VM."""
        return cls(INSIDE / "images", INSIDE / "tools/usr/bin", Path(VENV), INSIDE / "host")

    @property
    def tools(self) -> Path:
        """The layer of the stand-ins, to lie over the system."""
        return self.standins.parents[1]

    def python(self) -> list[Bind]:
        """The virtual environment, and the interpreter that it refers to.

        The environment is not at its own path: an editable install in it points to the repository,
        which a container must not see.
        """
        prefixes = {sys.base_prefix, os.path.realpath(sys.base_prefix)}
        lent = sorted(prefix for prefix in prefixes if not prefix.startswith("/usr"))
        return [
            Bind(str(self.venv), VENV, read_only=True),
            *(Bind(prefix, prefix, read_only=True) for prefix in lent),
        ]

    def machinery(self) -> list[Bind]:
        """Everything that a step or a VM needs to run containers of its own."""
        code = INSIDE / "lib"
        system = [Path("/", top) for top in SYSTEM if Path("/", top).is_dir()]
        return [
            *self.python(),
            Bind(str(self.images), str(INSIDE / "images")),
            Bind(str(self.tools), str(INSIDE / "tools"), read_only=True),
            *(
                Bind(str(_REPOSITORY / path), str(code / path), read_only=True)
                for path in ("local/containers", "pipeline/errors.py")
            ),
            *(
                Bind(str(top), str(INSIDE / "host" / top.name), read_only=True)
                for top in system
                if not top.is_symlink()
            ),
        ]


def network(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a step or a VM, from which its containers inherit the network."""
    return {**variables, NETWORK: " ".join(variables)}


def inherited_network() -> dict[str, str]:
    """Inside a step or a VM: the variables that every container gets."""
    names = os.environ.get(NETWORK, "").split()
    return {name: os.environ[name] for name in names if name in os.environ}


def _install_standins(tools: Path) -> None:
    """Makes the layer in which each stand-in has the place of its command."""
    # In every folder where the host may have the real command, which would be found first.
    folders = [tools / "usr/bin", tools / "usr/local/bin", tools / "usr/sbin"]
    for source in (_REPOSITORY / "local/containers/standins").glob("[!_]*"):
        for target in (folder / source.stem for folder in folders):
            if not target.exists() or target.read_bytes() != source.read_bytes():
                write(target, source.read_bytes(), 0o755)
