"""Programs read their environment in one place, and every mistake in it reads alike."""

import ast
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import Field, Json, PositiveInt

from pipeline.environment import Environment, inherited, variable
from pipeline.errors import UserError
from pipeline.settings import Settings

ROOT = Path(__file__).parents[2]
PROGRAMS = ("app", "bots", "control_image", "pipeline", "scraper_image", "trainer_image")
# `bots` sets variables for Google's clients, which look nowhere else.
EXCEPTIONS = {"pipeline/environment.py", "bots/cloud.py"}
OF_OS = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}


class Variables(Environment):
    account: str
    settings: Json[Settings] = Settings()
    limit: Decimal = Field(default=Decimal(1), ge=0)
    workers: PositiveInt = 1
    gpu: bool = False
    execution: str = Field(alias="CLOUD_RUN_EXECUTION", default="by-hand")


def uses(source: str) -> Iterator[str]:
    """The parts of `os` that a module uses to reach its process's environment."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os" and node.attr in OF_OS:
                yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (name.name for name in node.names if name.name in OF_OS)


def test_no_module_of_a_program_reads_the_environment_but_one() -> None:
    modules = [file for program in PROGRAMS for file in (ROOT / program).rglob("*.py")]
    found = {str(file.relative_to(ROOT)) for file in modules if [*uses(file.read_text())]}
    assert found == EXCEPTIONS


@pytest.mark.parametrize(
    "source", ["import os\nos.environ['A']", "import os\nos.getenv('A')", "from os import environ"]
)
def test_the_sweep_sees_every_way_to_read_it(source: str) -> None:
    assert [*uses(source)]


def test_variables_are_read_by_their_names_in_capitals() -> None:
    given = {"ACCOUNT": "keeper", "SETTINGS": '{"steps": 7}', "CLOUD_RUN_EXECUTION": "x-1", "A": ""}
    variables = Variables.read(given)
    assert (variables.account, variables.settings.steps) == ("keeper", 7)
    assert variables.execution == "x-1"


def test_an_empty_variable_counts_as_unset() -> None:
    variables = Variables.read({"ACCOUNT": "keeper", "WORKERS": "", "GPU": ""})
    assert (variables.workers, variables.gpu) == (1, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ACCOUNT": ""}, "ACCOUNT is not set; set it as the stack does"),
        ({"WORKERS": "0"}, "WORKERS is '0': Input should be greater than 0"),
        ({"LIMIT": "five\ndollars"}, r"LIMIT is 'five\\ndollars': Input should be a valid decimal"),
        ({"SETTINGS": "nonsense"}, "SETTINGS is 'nonsense': Invalid JSON"),
        ({"SETTINGS": '{"steps": 0}'}, r"SETTINGS is '{\"steps\": 0}': steps: Input should be"),
    ],
)
def test_a_wrong_variable_is_one_line_with_name_value_and_reason(
    change: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=f"^environment variable {message}") as raised:
        Variables.read({"ACCOUNT": "keeper"} | change)
    assert "\n" not in str(raised.value)


def test_one_variable_has_a_default_where_it_is_unset_or_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SOME_ENDPOINT", raising=False)
    assert variable("SOME_ENDPOINT", "there") == "there"
    monkeypatch.setenv("SOME_ENDPOINT", "")
    assert variable("SOME_ENDPOINT", "there") == "there"
    monkeypatch.setenv("SOME_ENDPOINT", "here")
    assert variable("SOME_ENDPOINT", "there") == "here"


def test_a_child_process_inherits_the_environment_and_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "mine")
    monkeypatch.setenv("B", "mine")
    assert {"A": "mine", "B": "for the child"}.items() <= inherited(B="for the child").items()
