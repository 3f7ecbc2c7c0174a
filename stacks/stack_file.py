"""Reads a stack, from its stack file or from the engine's configuration.

A mistake becomes one line that names the file, the key, the value and what to do.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import UserError
from stacks.config import Stack

NAMESPACE = "gpt2-bots:"
# Namespaces of keys that Pulumi and its Docker providers read.
OTHER_NAMESPACES = ("docker", "docker-build", "pulumi")
_GOOGLE_KEYS = ("project", "region")


def key(name: str) -> str:
    """The key of a field of `Stack` in a stack file."""
    return f"gcp:{name}" if name in _GOOGLE_KEYS else NAMESPACE + name


def _unknown_key(loc: tuple[int | str, ...]) -> str:
    """Say what to write in place of a key that its model does not have."""
    model: type[BaseModel] = Stack
    path = iter(loc[:-1])
    for part in path:
        annotation = model.model_fields[str(part)].annotation
        model = next(_models(annotation))
        if get_origin(annotation) in (Mapping, tuple):
            next(path)  # the entry's name, which may also be the name of a field, or its number
    return _instead(str(loc[-1]), [field for field in model.model_fields if field != "name"])


def _instead(given: str, known: list[str]) -> str:
    near = difflib.get_close_matches(given, known, n=1)
    if near:
        return f"unknown key; did you mean {near[0]!r}?"
    return f"unknown key; the known keys are {', '.join(known)}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in an annotation such as Optional[…] or Mapping[…]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def load(stack: str, values: Mapping[Any, object], folder: Path = Path("stacks")) -> Stack:
    """The stack named `stack`, from values by their keys in the stack file.

    Args:
        stack: The stack's name.
        values: The values of `config:`.
        folder: The folder of the stack file, for `accounts_file`.

    Raises:
        UserError: a key is missing or unknown, or a value is invalid. One line names each mistake.
    """
    known = {key(name): name for name in Stack.model_fields if name != "name"}
    given: dict[str, Any] = {"name": stack}
    unknown: list[str] = []
    for given_key, value in ((str(k), v) for k, v in values.items()):
        if given_key in known:
            given[known[given_key]] = value
        elif given_key.partition(":")[0] not in OTHER_NAMESPACES:
            unknown.append(f"{_printable(given_key)}: {_instead(given_key, [*known])}")
    if unknown:
        raise UserError("; ".join(f"stacks/Pulumi.{stack}.yaml: {one}" for one in unknown))
    _add_accounts_of_file(stack, given, folder)
    try:
        return Stack.model_validate(given)
    except ValidationError as error:
        raise UserError("; ".join(_sentence(stack, e) for e in error.errors())) from None


def _add_accounts_of_file(stack: str, given: dict[str, Any], folder: Path) -> None:
    """Add the accounts of `accounts_file` to those of the stack file."""
    name = given.get("accounts_file")
    if not isinstance(name, str):
        return
    key = f"stacks/Pulumi.{stack}.yaml: {NAMESPACE}accounts_file: {name!r}"
    try:
        more = _parsed(folder / name)
    except OSError:
        raise UserError(f"{key}: there is no such file in the stack file's folder") from None
    except ValueError as error:
        raise UserError(f"{key}: {error}") from None
    if not isinstance(more, dict):
        raise UserError(f"{key}: it has no accounts by name, as `accounts:` has")
    found = cast("dict[object, object]", more)
    own: object = given.get("accounts") or {}
    if isinstance(own, Mapping):
        here = cast("Mapping[object, object]", own)
        for account in here.keys() & found.keys():
            raise UserError(
                f"{key}: accounts.{account} is in the stack file, too; keep one of them"
            )
        given["accounts"] = {**here, **found}


def _sentence(stack: str, error: Any) -> str:
    loc: tuple[int | str, ...] = tuple(part for part in error["loc"] if part != "[key]")
    where = key(".".join(_printable(str(part)) for part in loc)) if loc else ""
    if error["type"] == "extra_forbidden":
        what = _unknown_key(loc)
    elif error["type"] == "missing":
        what = "missing"
    elif error["type"] == "value_error":
        what = error["msg"].removeprefix("Value error, ")
    else:
        what = f"{_shown(error['input'])}: {error['msg'][:1].lower()}{error['msg'][1:]}"
    return f"stacks/Pulumi.{stack}.yaml: " + (f"{where}: {what}" if where else what)


def _printable(text: str) -> str:
    """The text, or its repr if it would not fit into one printed line."""
    return text if text.isprintable() else repr(text)


def _shown(value: object) -> str:
    """The repr of a value, cut to 100 characters."""
    text = repr(value)
    return text if len(text) <= 100 else text[:99] + "…"


def from_engine(stack: str, values: Mapping[str, str]) -> Stack:
    """The stack, from the engine's configuration, where objects are JSON texts."""

    def parse(text: str) -> object:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text

    return load(stack, {k: parse(v) if k.startswith(NAMESPACE) else v for k, v in values.items()})


def read(file: Path) -> Stack:
    """The stack of a stack file, `Pulumi.<stack>.yaml`, without the engine.

    Raises:
        UserError: there is no such file, or it is not a valid stack file.
    """
    stack = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
    try:
        document = _parsed(file)
    except OSError:
        raise UserError(
            f"{file}: no such stack file; create it with `pulumi stack init {stack}`,"
            " and see stacks/Pulumi.dev.yaml for an example"
        ) from None
    except ValueError as error:
        raise UserError(f"{file}: {error}") from None
    try:
        config = _Document.model_validate(document).config
    except ValidationError:
        raise UserError(
            f"{file}: it has no `config:`; see stacks/Pulumi.dev.yaml for an example"
        ) from None
    return load(stack, config, file.parent)


def _parsed(file: Path) -> object:
    """The document in a YAML file.

    Raises:
        ValueError: it is not YAML. The text is one line.
    """
    try:
        return yaml.safe_load(file.read_text())
    # The parser also raises Python's errors: for the date 2026-99-99, and for [[[[… without end.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"not YAML: {_printable(' '.join(str(error).split()))}") from None


class _Document(BaseModel):
    """A stack file. The engine has keys of its own next to `config`."""

    model_config = ConfigDict(frozen=True)

    config: dict[Any, object]
