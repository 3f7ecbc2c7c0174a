"""Values that modules pass to each other cannot be changed on the way."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from pipeline.documents import Part
from pipeline.environment import Environment
from pipeline.log import Severity
from tests import messages
from tools.mutants.__main__ import PACKAGES

ROOT = Path(__file__).parents[1]


def classes(room: str) -> Iterator[type[Any]]:
    for file in sorted((ROOT / room).rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        module = importlib.import_module(name)
        for _, found in inspect.getmembers(module, inspect.isclass):
            if found.__module__ == name:
                yield found


def is_frozen(value: type[Any]) -> bool:
    if issubclass(value, BaseModel):
        return value.model_config.get("frozen") is True
    return bool(value.__dataclass_params__.frozen)


@pytest.mark.parametrize("room", PACKAGES)
def test_values_are_frozen(room: str) -> None:
    values = [c for c in classes(room) if is_dataclass(c) or issubclass(c, BaseModel)]
    assert values
    assert [value.__qualname__ for value in values if not is_frozen(value)] == []


@pytest.mark.parametrize("room", PACKAGES)
def test_a_literal_severity_is_one_that_log_takes(room: str) -> None:
    for file in sorted((ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name("log") | ast.Attribute(attr="_log"),
                    args=[ast.Constant(severity), *_],
                ):
                    assert severity in get_args(Severity), f"{file}:{node.lineno}"
                case _:
                    pass


def test_stored_documents_and_environments_have_the_reviewed_keys_and_limits() -> None:
    models = {c.__qualname__: c for room in PACKAGES for c in classes(room)}
    schemas = {
        name: model.model_json_schema()
        for name, model in models.items()
        if issubclass(model, (Part, Environment))
    }
    messages.check("schemas", dict(sorted(schemas.items())))
