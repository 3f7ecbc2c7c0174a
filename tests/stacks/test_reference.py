"""The reference and the schema of the stack file agree with its models."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from pipeline.errors import UserError
from stacks import reference, stack_file
from tests.stacks.environments import everything
from tests.stacks.recorder import ROOT, stack_values
from tests.stacks.test_config import MISTAKES

FILES = ["local", "dev", "prod"]
# Mistakes that only the models find: a schema looks at one value at a time.
BEYOND_A_SCHEMA = {
    "unknown time zone",
    "bad cron",
    "cron that never comes",
    "two accounts with one handle",
    "an account named as a program image",
    "zone outside the region",
    "unknown machine",
    "timeline without acknowledgement",
    "archive on a schedule",
    "keys that read nothing",
}


def refused(values: dict[str, Any]) -> bool:
    checker: Any = jsonschema.Draft7Validator(reference.schema())
    return not checker.is_valid({"config": values})


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(reference.schema())


def test_the_schema_and_the_page_are_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = [reference.SCHEMA.read_text(), reference.PAGE.read_text()]
    monkeypatch.setattr(reference, "SCHEMA", tmp_path / "schema")
    monkeypatch.setattr(reference, "PAGE", tmp_path / "page")
    reference.main()
    written = [(tmp_path / name).read_text() for name in ("schema", "page")]
    assert written == committed, (
        "the models have changed: run `python -m stacks.reference` and commit its files"
    )


def test_every_key_has_a_description() -> None:
    document = reference.schema()
    for model in (document["properties"]["config"], *document["definitions"].values()):
        for key, described in model["properties"].items():
            assert described.get("description"), key


@pytest.mark.parametrize("stack", FILES)
def test_a_stack_file_names_its_schema_and_is_valid(stack: str) -> None:
    file = ROOT / f"stacks/Pulumi.{stack}.yaml"
    assert file.read_text().startswith("# yaml-language-server: $schema=stack.schema.json\n")
    assert (file.parent / "stack.schema.json") == reference.SCHEMA
    jsonschema.validate(yaml.safe_load(file.read_text()), reference.schema())


def test_a_stack_file_with_every_key_is_valid() -> None:
    assert not refused(everything())
    stack_file.load("prod", everything())


def test_the_environment_with_everything_sets_every_key() -> None:
    stack = stack_file.load("prod", everything())
    left_out = {
        (type(model).__name__, key)
        for model in models(stack)
        for key in type(model).model_fields
        if not any(key in one.model_fields_set for one in models(stack) if type(one) is type(model))
    }
    assert left_out == {("Stack", "emulator"), ("Stack", "accounts_file")}


def models(value: object) -> Iterator[BaseModel]:
    """All models in a model."""
    if isinstance(value, BaseModel):
        yield value
        for field in type(value).model_fields:
            yield from models(getattr(value, field))
    elif isinstance(value, tuple):
        for item in cast("tuple[object, ...]", value):
            yield from models(item)
    elif isinstance(value, Mapping):
        for item in cast("Mapping[object, object]", value).values():
            yield from models(item)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_schema_refuses(mistake: str) -> None:
    values = stack_values("dev")
    MISTAKES[mistake][0](values)
    assert refused(values) == (mistake not in BEYOND_A_SCHEMA)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gcp:regoin", "europe-west4"),
        ("gcp:zone", "europe-west4-a"),
        ("gpt2bots:training", {}),
        ("training", {}),
        ("gpt2-bots:name", "dev"),
    ],
)
def test_the_schema_and_the_models_refuse_an_unknown_key(key: str, value: Any) -> None:
    values = {**stack_values("dev"), key: value}
    assert refused(values)
    with pytest.raises(UserError, match=f"{key}: unknown key"):
        stack_file.load("dev", values)


def test_keys_of_pulumi_and_docker_are_allowed() -> None:
    values = {**stack_values("dev"), "pulumi:tags": {"a": "b"}, "docker:host": "x"}
    assert not refused(values)
    stack_file.load("dev", values)
