"""Checks that this machine has what the program needs: a cloud, a Docker daemon, credentials.

The providers would also report that something is missing, but later and in many lines. `pulumi
refresh` and `destroy` do not run the program, so they show the providers' errors.
"""

import http.client
import json
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pulumi

from pipeline.errors import UserError
from stacks.config import Stack

# The variable by which the engine attaches to running providers, such as the local cloud's.
ATTACHED = "PULUMI_DEBUG_PROVIDERS"
# The sockets that pulumi-docker tries by default.
_SOCKETS = ("/var/run/docker.sock", "~/.docker/run/docker.sock")
_PING_SECONDS = 10


def check(stack: Stack, values: Mapping[str, str], *, preview: bool) -> None:
    """Check that this machine has everything that declaring the stack needs.

    Args:
        stack: The stack to declare.
        values: The engine's configuration, with the keys of the Docker providers.
        preview: Whether this is a preview. It pushes no image, so missing credentials are only a
            warning.

    Raises:
        UserError: Something is missing.
    """
    providers = os.environ.get(ATTACHED, "").split(",")
    attached = {provider.partition(":")[0] for provider in providers}
    if stack.emulator is not None and "gcp" not in attached:
        raise UserError(
            f"stack {stack.name!r} belongs to the local cloud (gpt2-bots:emulator), and this engine"
            f" would call Google: run `python -m local pulumi up --stack {stack.name}`"
        )
    if stack.images is None and "docker" not in attached:
        _require_daemon(values.get("docker:host") or os.environ.get("DOCKER_HOST"))
    if (
        stack.accounts
        and "docker-build" not in attached
        and "docker-build:registries" not in values
    ):
        missing = _missing_credentials(f"{stack.region}-docker.pkg.dev")
        if missing and preview:
            pulumi.log.warn(missing)
        elif missing:
            raise UserError(missing)


def _require_daemon(host: str | None) -> None:
    hosts = [host] if host else [f"unix://{Path(name).expanduser()}" for name in _SOCKETS]
    if not any(map(_answers, hosts)):
        raise UserError(
            f"no Docker daemon answers at {' or '.join(hosts)}, and it has to build the program"
            " images: start Docker, or set gpt2-bots:images, which needs no daemon"
        )


def _answers(host: str) -> bool:
    scheme, _, place = host.partition("://")
    secure = os.environ.get("DOCKER_TLS_VERIFY")
    if scheme not in ("unix", "tcp", "http") or (secure and scheme != "unix"):
        return True  # Not checked over SSH or TLS: the provider reports it.
    connection = http.client.HTTPConnection("docker", timeout=_PING_SECONDS)
    try:
        if scheme == "unix":
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(_PING_SECONDS)
            connection.sock.connect(place)
        else:
            connection = http.client.HTTPConnection(place, timeout=_PING_SECONDS)
        connection.request("GET", "/_ping")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _missing_credentials(registry: str) -> str:
    """Say in one line that Docker has no credentials for the registry; empty if it has.

    Source: https://docs.docker.com/reference/cli/docker/login/ (2026-11): a login adds an entry to
    `auths`, and the helper of one registry is in `credHelpers`.
    """
    file = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "config.json"
    settings = _settings(file)
    helpers, logins = settings.get("credHelpers"), settings.get("auths")
    mend = f"run `gcloud auth configure-docker {registry}`, or `docker login {registry}`"
    if isinstance(helpers, dict) and registry in helpers:
        helper = f"docker-credential-{helpers[registry]}"
        if shutil.which(helper):
            return ""
        return f"{file}: {helper}, which has the credentials for {registry}, is not on PATH: {mend}"
    if isinstance(logins, dict) and {registry, f"https://{registry}"} & {*logins}:
        return ""
    return (
        f"{file} has no credentials for {registry}, where each account's first `:live` is pushed to"
        f" (also with gpt2-bots:images): {mend}"
    )


def _settings(file: Path) -> dict[str, Any]:
    try:
        settings: object = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", settings) if isinstance(settings, dict) else {}
