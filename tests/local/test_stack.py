"""What the local cloud reads of a stack file."""

from pathlib import Path

import pytest

from local.stack import LocalStack
from pipeline.errors import UserError

PROJECT = "gcp:project: small-project"


def stack(folder: Path, text: str) -> LocalStack:
    file = folder / "Pulumi.mine.yaml"
    file.write_text(text)
    return LocalStack.of(folder / "home", file)


def test_name_project_and_port_are_read_whatever_the_program_is_called(tmp_path: Path) -> None:
    read = stack(tmp_path, f"config: {{{PROJECT}, other:emulator: 'http://127.0.0.1:9081'}}")
    assert (read.name, read.project, read.port) == ("mine", "small-project", 9081)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no configuration in it"),
        ("- a list", "no configuration in it"),
        ("config: [", "while parsing"),
        (f"config: {{{PROJECT}}}", "emulator is missing: write the address"),
        (f"config: {{{PROJECT}, a:emulator: 9080}}", "a:emulator: 9080 is not an address"),
        ("config: {a:emulator: 'http://127.0.0.1:9080'}", "gcp:project: missing"),
    ],
)
def test_a_stack_file_that_is_not_for_a_local_cloud_is_one_line(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(UserError, match=reason) as error:
        stack(tmp_path, text)
    assert "\n" not in str(error.value)
