"""Writes the reference of the stack file from its models, for editors and for people.

`python -m stacks.reference` writes stacks/stack.schema.json and docs/configuration.md.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from stacks import config, stack_file

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "stacks/stack.schema.json"
PAGE = ROOT / "docs/configuration.md"

_REFERENCE = "#/definitions/"
_INTRODUCTION = """# Configuration

Every key of a stack file, `stacks/Pulumi.<stack>.yaml`. A key without a default is required. A key
whose default is "none" may be left out.

`make docs` writes this page from the models in [`stacks/config.py`](../stacks/config.py). It also
writes [`stacks/stack.schema.json`](../stacks/stack.schema.json), with which an editor checks and
completes a stack file while you type.
"""


class _Generator(GenerateJsonSchema):
    """Describes values as a person writes them: without nulls and titles, dollars as numbers."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        return {"type": "number", "minimum": schema.get("ge"), "maximum": schema.get("le")}

    def encode_default(self, dft: Any) -> Any:
        return float(dft) if isinstance(dft, Decimal) else super().encode_default(dft)

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def schema() -> dict[str, Any]:
    """The JSON Schema of a stack file, in draft 7, which editors know."""
    stack = config.Stack.model_json_schema(
        ref_template=_REFERENCE + "{model}", schema_generator=_Generator
    )
    definitions = stack.pop("$defs")
    for model in (stack, *definitions.values()):
        for described in model["properties"].values():
            if described.get("default", 0) is None:
                del described["default"]
    # Otherwise the schema would accept names that do not match the pattern.
    stack["properties"]["accounts"]["additionalProperties"] = False
    keys = {stack_file.key(name): described for name, described in stack["properties"].items()}
    del keys[stack_file.key("name")]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Stack file of gpt2-bots",
        "type": "object",
        "required": ["config"],
        "properties": {
            "config": {
                "type": "object",
                "properties": keys,
                "patternProperties": {f"^({'|'.join(stack_file.OTHER_NAMESPACES)}):": {}},
                "additionalProperties": False,
                "required": [stack_file.key(name) for name in stack["required"] if name != "name"],
            }
        },
        "definitions": definitions,
    }


def page() -> str:
    """The reference as Markdown, with one table per model."""
    document = schema()
    stack = document["properties"]["config"]
    tables = [("The stack", "Keys of `config:`.", stack)]
    tables += [
        (f"{name}", model["description"], model) for name, model in document["definitions"].items()
    ]
    return _INTRODUCTION + "".join(
        f"\n## {title}\n\n{description}\n\n| key | value | default | meaning |\n"
        "| --- | --- | --- | --- |\n"
        f"{''.join(_rows(model))}"
        for title, description, model in tables
    )


def _rows(model: dict[str, Any]) -> Iterator[str]:
    for key, described in model["properties"].items():
        cells = (f"`{key}`", _value(described), _default(key, described, model))
        yield f"| {' | '.join(cells)} | {described.get('description', '')} |\n"


def _value(described: dict[str, Any]) -> str:
    """The values that a key takes, in words."""
    if "$ref" in described:
        name = described["$ref"].removeprefix(_REFERENCE)
        return f"[{name}](#{name.lower()})"
    if "enum" in described:
        return " or ".join(f"`{value}`" for value in described["enum"])
    if "patternErrorMessage" in described:
        return described["patternErrorMessage"].removeprefix("not ")
    match described["type"]:
        case "array":
            return f"a list; each entry: {_value(described['items'])}"
        case "object":
            (entry,) = described["patternProperties"].values()
            return f"by name; each entry: {_value(entry)}"
        case "boolean":
            return "`true` or `false`"
        case "integer":
            return "a whole number" + _range(described)
        case "number":
            return "a number" + _range(described)
        case _:
            return "a text"


def _range(described: dict[str, Any]) -> str:
    above = f" above {described['exclusiveMinimum']:,}" if "exclusiveMinimum" in described else ""
    low = f" from {described['minimum']:,}" if "minimum" in described else above
    return low + (f" to {described['maximum']:,}" if "maximum" in described else "")


def _default(key: str, described: dict[str, Any], model: dict[str, Any]) -> str:
    if key in model.get("required", ()):
        return ""
    default = described.get("default")
    if default in (None, [], {}):
        return "none"
    return "its defaults" if isinstance(default, dict) else f"`{json.dumps(default)}`"


def main() -> None:
    """Write the schema and the page."""
    SCHEMA.write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
