"""A Docker daemon of the test's own, and the `docker` command that talks to it."""

import base64
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.real.tools import need

_START = 30.0
# Nothing of the machine's network is changed: containers have the host's network or none.
_NETWORK = ("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
# The daemon sees files of its own in these places; the machine's stay as they are.
_PLACES = 'mount --bind "$1" /etc/hosts; mount --bind "$2" /etc/docker; shift 2; exec "$@"'


@dataclass(frozen=True)
class Docker:
    """One daemon. Containers and images without a name of their own end with it."""

    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    def start(
        self, *words: str, log: Any = subprocess.PIPE, settings: str = "config"
    ) -> subprocess.Popen[str]:
        """Start `docker WORDS`; Debian's client, which fits the daemon."""
        variables = {
            "DOCKER_BUILDKIT": "1",
            "DOCKER_CONFIG": str(self.folder / settings),
            "DOCKER_HOST": f"unix://{self.socket}",
        }
        return subprocess.Popen(
            ["/usr/bin/docker", *words],
            env=os.environ | variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, ok: bool | None = True, settings: str = "config") -> str:
        """The output of `docker WORDS`, which must end well, badly (False) or anyhow (None)."""
        process = self.start(*words, settings=settings)
        said, _ = process.communicate()
        assert ok is None or (process.returncode == 0) == ok, said
        return said.strip()

    def status(self, *words: str) -> tuple[int, str]:
        """The exit status and the output of `docker WORDS`."""
        process = self.start(*words)
        said, _ = process.communicate()
        return process.returncode, said

    def container(self, image: str, *words: str, options: Sequence[str] = ()) -> tuple[int, str]:
        """The exit status and the output of a container without a network; it is gone then."""
        return self.status("run", "--rm", "--network=none", *options, image, *words)

    def inspect(self, image: str) -> dict[str, Any]:
        """An image or container as `docker inspect` tells it."""
        return json.loads(self.run("inspect", image))[0]

    def login(self, host: str, token: str) -> None:
        """Let this command be the bearer of a token, as `gcloud auth configure-docker` does."""
        secret = base64.b64encode(f"oauth2accesstoken:{token}".encode()).decode()
        file = self.folder / "config/config.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"auths": {host: {"auth": secret}}}))

    def build(self, context: Path, dockerfile: Path, tag: str, *options: str) -> None:
        """Build an image with BuildKit, as pulumi-docker asks for it.

        Each as a client of its own. Of one client's folder BuildKit takes only what has changed
        since the last build, and with another Dockerfile's ignore rules it once missed files.
        """
        words = ("build", "--progress=plain", "--network=host", "--tag", tag, *options)
        settings = f"build-{tag.replace('/', '-').replace(':', '-')}"
        self.run(*words, "--file", str(dockerfile), str(context), settings=settings)


@contextlib.contextmanager
def daemon(data: Path, hosts: Mapping[str, str], settings: Path) -> Generator[Docker]:
    """A daemon with its images in `data`, stopped in the end with nothing left mounted.

    Args:
        data: A folder that outlives it, so that the next one need not build everything again. Two
            daemons on one folder wait for each other.
        hosts: Addresses that the daemon and its containers know by name.
        settings: The daemon's /etc/docker, such as the certificates that it trusts.
    """
    need("dockerd", "/usr/bin/docker", "unshare")
    Path("/etc/docker").mkdir(exist_ok=True)
    data.mkdir(parents=True, exist_ok=True)
    with (
        data.with_suffix(".lock").open("w") as lock,
        # A socket's path is short.
        tempfile.TemporaryDirectory(prefix="dockerd-") as name,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = Path(name)
        lines = [f"{address} {host}" for host, address in hosts.items()]
        known = folder / "hosts"
        known.write_text("\n".join([Path("/etc/hosts").read_text(), *lines, ""]))
        docker = Docker(folder)
        command = [
            *("dockerd", "--host", f"unix://{docker.socket}", "--data-root", str(data)),
            *("--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")),
            *("--bridge=none", *_NETWORK),
        ]
        with (folder / "log").open("w+") as log:
            process = subprocess.Popen(
                [
                    *("unshare", "--mount", "--propagation=private", "sh", "-ec", _PLACES, "sh"),
                    *(str(known), str(settings), *command),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                _wait(docker, process, folder / "log")
                yield docker
            finally:
                _stop(docker, process)


def _wait(docker: Docker, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START
    while docker.status("version")[0]:
        late = time.monotonic() > deadline
        assert process.poll() is None and not late, log.read_text()[-4000:]
        time.sleep(0.1)


def _stop(docker: Docker, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        left: Sequence[str] = docker.run("ps", "--all", "--quiet", ok=None).split()
        if left:
            docker.run("rm", "--force", "--volumes", *left, ok=None)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
