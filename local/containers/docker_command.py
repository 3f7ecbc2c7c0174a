"""Stands in for the `docker` command inside a build's step or a VM, as far as scripts use it.

It knows build, run, pull, push, tag, inspect, images and rmi, in the foreground. It cannot show
`run --detach` and what belongs to it, named volumes, compose, or limits on memory and processors.
"""

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

from local.containers import bubblewrap
from local.containers.bubblewrap import Bind
from local.containers.docker_build import Build
from local.containers.docker_run import Container
from local.containers.host import DOCKER_FOLDER, Host, inherited_network
from local.containers.image_store import ImageStore
from local.containers.references import Reference
from local.containers.registry_client import RegistryClient
from pipeline.errors import UserError

_NOT_ENFORCED = ("cpus", "memory", "memory_swap", "user", "shm_size", "ulimit")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; local/containers/docker_command.py lists what is stood in for")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="docker", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    _verb(
        verbs.add_parser("build", allow_abbrev=False),
        _build,
        values="-f/--file --target --network --platform --progress",
        lists="-t/--tag --build-arg --label",
        switches="-q/--quiet --no-cache --pull",
    ).add_argument("context")
    command = _verb(
        verbs.add_parser("run", allow_abbrev=False),
        _run,
        values="--entrypoint --gpus --name --runtime -w/--workdir --cpus -m/--memory --memory-swap"
        " --network --shm-size --ulimit -u/--user --log-driver --platform --pull --stop-timeout",
        lists="--cap-add --cap-drop --device -e/--env --env-file --label --log-opt"
        " --security-opt --tmpfs -v/--volume",
        switches="--init -i/--interactive --privileged --read-only --rm -t/--tty",
    )
    command.add_argument("image")
    command.add_argument("arguments", nargs=argparse.REMAINDER)
    for name, does in (("pull", _pull), ("push", _push)):
        command = _verb(verbs.add_parser(name), does, values="--platform", switches="-q/--quiet")
        command.add_argument("image")
    command = _verb(verbs.add_parser("tag"), _tag)
    command.add_argument("source")
    command.add_argument("target")
    command = _verb(verbs.add_parser("inspect"), _inspect, values="-f/--format")
    command.add_argument("images", nargs="+")
    command = _verb(verbs.add_parser("images"), _list, switches="-q/--quiet")
    command.add_argument("image", nargs="?")
    command = _verb(verbs.add_parser("rmi"), _remove, switches="-f/--force")
    command.add_argument("images", nargs="+")
    return parser


def _verb(
    parser: argparse.ArgumentParser,
    does: Callable[[argparse.Namespace], int | None],
    *,
    values: str = "",
    lists: str = "",
    switches: str = "",
) -> argparse.ArgumentParser:
    """Gives a command its function and its options; `-x/--xyz` are two names of one option."""
    parser.set_defaults(does=does)
    for names in values.split():
        parser.add_argument(*names.split("/"))
    for names in lists.split():
        parser.add_argument(*names.split("/"), action="append", default=[])
    for names in switches.split():
        parser.add_argument(*names.split("/"), action="store_true")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Runs one command; returns docker's status. A mistake is one line on standard error."""
    words = [*arguments]
    if words[:2] == ["image", "inspect"]:
        del words[0]
    try:
        options = _parser().parse_args(words)
        return options.does(options) or 0
    except UserError as error:
        print(f"docker: {error}", file=sys.stderr)
        return bubblewrap.CANNOT_START if words[:1] == ["run"] else 1


def _store() -> ImageStore:
    client = RegistryClient(os.environ, _require_credential)
    return ImageStore(Host.within().images, Path(DOCKER_FOLDER), client, _note)


def _note(text: str) -> None:
    print(f"docker: note: {text}", file=sys.stderr)


def _require_credential(registry: str) -> None:
    """Raises UserError where docker's configuration has no credential for a registry's host."""
    folder = os.environ.get("DOCKER_CONFIG") or f"{os.environ.get('HOME', '/root')}/.docker"
    file = Path(folder, "config.json")
    config = cast("dict[str, Any]", json.loads(file.read_text()) if file.exists() else {})
    known = {*config.get("auths", {}), *config.get("credHelpers", {})}
    if not config.get("credsStore") and registry not in known:
        raise UserError(
            f"denied: Unauthenticated request to {registry}: {file} names no credential helper for"
            f" it; run docker-credential-gcr configure-docker --registries={registry} first"
        )


def _build(options: argparse.Namespace) -> None:
    context = Path(options.context)
    build = Build(
        images=_store(),
        standins=Host.within().standins,
        context=context,
        dockerfile=Path(options.file) if options.file else context / "Dockerfile",
        tags=options.tag,
        labels=dict(_pair(label) for label in options.label),
        arguments=dict(_pair(argument) for argument in options.build_arg),
        target=options.target or "",
    )
    digest = build.run()
    print(digest if options.quiet else f"Successfully built {digest}")


def _pair(text: str) -> tuple[str, str]:
    """Splits `NAME=value`; a name without a sign has the value that the environment has."""
    name, sign, value = text.partition("=")
    return name, value if sign else os.environ.get(name, "")


def _run(options: argparse.Namespace) -> int:
    if options.gpus or options.runtime:
        raise UserError(
            'could not select device driver "" with capabilities: [[gpu]]: Container-Optimized OS'
            " has none for --gpus and --runtime; give the devices and volumes by name"
        )
    for name in _NOT_ENFORCED:
        if getattr(options, name) not in (None, "host"):
            _note(f"--{name.replace('_', '-')} {getattr(options, name)} is not enforced")
    for device in options.device:
        if not Path(device.partition(":")[0]).exists():
            _note(f"--device {device}: this machine has none, the container runs without")
    environment: dict[str, str] = {}
    for file in options.env_file:
        lines = Path(file).read_text().splitlines()
        environment |= dict(_pair(line) for line in lines if line.strip() and line[0] != "#")
    environment |= dict(
        _pair(variable) for variable in options.env if "=" in variable or variable in os.environ
    )
    container = Container(
        image=options.image,
        arguments=options.arguments,
        entrypoint=[options.entrypoint] if options.entrypoint else None,
        environment=environment,
        binds=[_volume(volume) for volume in options.volume],
        directory=options.workdir or "",
        name=options.name or "",
        read_only=options.read_only,
        tmpfs=[path.partition(":")[0] for path in options.tmpfs],
        privileged=options.privileged or _may_mount(options.cap_add),
        isolated=options.network == "none",
    )
    return bubblewrap.run(container.sandbox(_store(), Host.within(), inherited_network()))


def _may_mount(capabilities: Sequence[str]) -> bool:
    return any(name.upper().removeprefix("CAP_") in {"SYS_ADMIN", "ALL"} for name in capabilities)


def _volume(text: str) -> Bind:
    source, target, *options = text.split(":")
    if not source.startswith("/"):
        raise UserError(f"--volume {text}: named volumes are not stood in for; give a path")
    if not Path(source).exists():
        Path(source).mkdir(parents=True)
    return Bind(os.path.realpath(source), target, read_only="ro" in ",".join(options).split(","))


def _pull(options: argparse.Namespace) -> None:
    print(f"Digest: {_store().pull(options.image)}")


def _push(options: argparse.Namespace) -> None:
    digest = _store().push(options.image)
    print(f"{Reference.parse(options.image).version}: digest: {digest} size: 1")


def _tag(options: argparse.Namespace) -> None:
    images = _store()
    images.tag(options.target, _local(images, options.source))


def _local(images: ImageStore, name: str) -> str:
    digest = images.local.find(Reference.parse(name))
    if digest is None:
        raise UserError(f"Error: No such image: {name}")
    return digest


def _list(options: argparse.Namespace) -> None:
    asked = options.image and Reference.parse(options.image)
    for reference, digest in _store().local.all():
        if asked and reference != asked:
            continue
        print(digest if options.quiet else f"{reference.repository} {reference.version} {digest}")


def _remove(options: argparse.Namespace) -> None:
    images = _store()
    for name in options.images:
        _local(images, name)
        images.local.remove(Reference.parse(name))


def _inspect(options: argparse.Namespace) -> None:
    images = _store()
    found: list[dict[str, Any]] = []
    for name in options.images:
        digest = _local(images, name)
        tags, digests = images.local.of(digest)
        fields = {"Id": digest, "RepoTags": tags, "RepoDigests": digests}
        found.append({**fields, "Config": images.config(digest)})
    if not options.format:
        print(json.dumps(found, indent=1))
    for fields in found if options.format else ():
        print(template(options.format, fields))


def template(text: str, value: Any) -> str:
    """Fills in Go's templates as far as `--format` uses them: fields, `index` and `json`.

    Raises:
        UserError: Another function.
    """

    def made(match: re.Match[str]) -> str:
        words = shlex.split(match[1])
        function = "" if words[0].startswith(".") else words.pop(0)
        found = _field(value, words[0].strip(".").split("."))
        if function == "index":
            return str(_field(found, words[1:]))
        if function not in {"", "json"} or len(words) > 1:
            raise UserError(f"template {match[0]}: only .Field, index and json are stood in for")
        if function == "json":
            return json.dumps(found, separators=(",", ":"))
        return f"[{' '.join(map(str, found))}]" if isinstance(found, list) else str(found)  # pyright: ignore[reportUnknownArgumentType]

    return re.sub(r"\{\{\s*(.*?)\s*\}\}", made, text)


def _field(value: Any, path: Sequence[str]) -> Any:
    """The field of a field of a value, or the entry of a list."""
    for name in filter(None, path):
        if isinstance(value, list):
            value = cast("list[Any]", value)[int(name)]
        else:
            value = cast("dict[str, Any]", value or {}).get(name, "")
    return value
