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
    """Suggest a known key in place of an unknown one."""
    model: type[BaseModel] = Stack
    path = iter(loc[:-1])
    for part in path:
        annotation = model.model_fields[str(part)].annotation
        model = next(_models(annotation))
        if get_origin(annotation) in (Mapping, tuple):
            next(
                path
            )  # skip the entry's name, which may also be the name of a field, or its number
    return _suggestion(str(loc[-1]), [field for field in model.model_fields if field != "name"])


def _suggestion(unknown: str, known: list[str]) -> str:
    near = difflib.get_close_matches(unknown, known, n=1)
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
    """Check the values of a stack file, and return the stack.

    Args:
        stack: The stack's name.
        values: The values of `config:`, by key.
        folder: The folder of the stack file, for `accounts_file`.

    Raises:
        UserError: A key is missing or unknown, or a value is invalid. One line names each mistake.
    """
    known = {key(name): name for name in Stack.model_fields if name != "name"}
    fields: dict[str, Any] = {"name": stack}
    unknown: list[str] = []
    for name, value in ((str(k), v) for k, v in values.items()):
        if name in known:
            fields[known[name]] = value
        elif name.partition(":")[0] not in OTHER_NAMESPACES:
            unknown.append(f"{_printable(name)}: {_suggestion(name, [*known])}")
    if unknown:
        raise UserError("; ".join(f"stacks/Pulumi.{stack}.yaml: {mistake}" for mistake in unknown))
    _add_accounts_of_file(stack, fields, folder)
    try:
        return Stack.model_validate(fields)
    except ValidationError as error:
        raise UserError("; ".join(_sentence(stack, e) for e in error.errors())) from None


def _add_accounts_of_file(stack: str, fields: dict[str, Any], folder: Path) -> None:
    """Add the accounts of `accounts_file` to those of the stack file."""
    name = fields.get("accounts_file")
    if not isinstance(name, str):
        return
    key = f"stacks/Pulumi.{stack}.yaml: {NAMESPACE}accounts_file: {name!r}"
    try:
        document = _parsed(folder / name)
    except OSError:
        raise UserError(f"{key}: there is no such file in the stack file's folder") from None
    except ValueError as error:
        raise UserError(f"{key}: {error}") from None
    if not isinstance(document, dict):
        raise UserError(f"{key}: it does not map names to accounts, as `accounts:` does")
    added = cast("dict[object, object]", document)
    own: object = fields.get("accounts") or {}
    if isinstance(own, Mapping):
        here = cast("Mapping[object, object]", own)
        for account in here.keys() & added.keys():
            raise UserError(
                f"{key}: accounts.{account} is in the stack file, too; keep one of them"
            )
        fields["accounts"] = {**here, **added}


def _sentence(stack: str, error: Any) -> str:
    loc: tuple[int | str, ...] = tuple(part for part in error["loc"] if part != "[key]")
    where = key(".".join(_printable(str(part)) for part in loc)) if loc else ""
    if error["type"] == "extra_forbidden":
        mistake = _unknown_key(loc)
    elif error["type"] == "missing":
        mistake = "missing"
    elif error["type"] == "value_error":
        mistake = error["msg"].removeprefix("Value error, ")
    else:
        mistake = f"{_shown(error['input'])}: {error['msg'][:1].lower()}{error['msg'][1:]}"
    return f"stacks/Pulumi.{stack}.yaml: " + (f"{where}: {mistake}" if where else mistake)


def _printable(text: str) -> str:
    """The text, or its repr if it cannot be printed on one line."""
    return text if text.isprintable() else repr(text)


def _shown(value: object) -> str:
    """The repr of a value, cut to 100 characters."""
    text = repr(value)
    return text if len(text) <= 100 else text[:99] + "…"


def from_engine(stack: str, values: Mapping[str, str]) -> Stack:
    """The stack of the engine's configuration, in which objects are JSON texts."""

    def parse(text: str) -> object:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text

    return load(stack, {k: parse(v) if k.startswith(NAMESPACE) else v for k, v in values.items()})


def read(file: Path) -> Stack:
    """The stack of a stack file, `Pulumi.<stack>.yaml`, without the engine.

    Raises:
        UserError: There is no such file, or it is not a valid stack file.
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
        ValueError: The file is not YAML. The text is one line.
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
