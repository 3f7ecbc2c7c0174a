"""`python -m demo.samples`: what people type to get an archive."""

import subprocess
import sys
from pathlib import Path

import pytest

from demo.samples import __main__ as command
from demo.samples.layouts import LAYOUTS, Layout
from demo.samples.people import PEOPLE
from tests.demo import samples_page


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["samples", *map(str, arguments)])
    return command.main()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_archive_is_written_in_the_layout_asked_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    layout: Layout,
) -> None:
    out = tmp_path / "a.zip"
    assert run(monkeypatch, "potter", out, "--layout", layout, "--count", 12) == 0
    assert capsys.readouterr().out == (
        f"{out}: 12 tweets of @example_kiln (user id {PEOPLE['potter'].user_id})\n"
    )
    once = out.read_bytes()
    assert run(monkeypatch, "potter", out, "--layout", layout, "--count", 12) == 0
    assert out.read_bytes() == once
    assert run(monkeypatch, "potter", out, "--layout", layout, "--count", 12, "--seed", 8) == 0
    assert out.read_bytes() != once


def test_a_renamed_person_is_named_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "walker", tmp_path / "a.zip", "--count", 3, "--handle", "example_new")
    assert "3 tweets of @example_new (user id 90000000012)" in capsys.readouterr().out


def test_a_place_where_nothing_can_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "nowhere" / "a.zip"
    assert run(monkeypatch, "walker", out, "--count", 3) == 1
    assert capsys.readouterr().err == (
        f"error: {out}: cannot be written (No such file or directory)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "name a PERSON and the file to write"),
        (["walker"], "name a PERSON and the file to write"),
        (["nobody", "a.zip"], "invalid choice: 'nobody'"),
        (["walker", "a.zip", "--count", "5001"], "5001 is not between 1 and 5000"),
        (["walker", "a.zip", "--count", "0"], "0 is not between 1 and 5000"),
        (["walker", "a.zip", "--count", "few"], "invalid"),
    ],
)
def test_a_mistake_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    error: str,
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *arguments)
    assert stopped.value.code == 2
    assert error in capsys.readouterr().err


def test_the_page_has_the_tables_of_the_samples() -> None:
    assert samples_page.PAGE.read_text() == samples_page.page()


def test_the_help_names_every_person() -> None:
    arguments = [sys.executable, "-m", "demo.samples", "--help"]
    shown = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert all(f"{person} (" in " ".join(shown.split()) for person in PEOPLE)
