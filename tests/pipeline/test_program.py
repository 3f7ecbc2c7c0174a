"""SIGTERM ends a program at once, whatever it is doing, and its own handler counts."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.program import STATUS

ROOT = Path(__file__).parents[2]


def started(tmp_path: Path, source: str) -> subprocess.Popen[str]:
    """A package `probe` of this source, run by `pipeline.program`, once it has printed a line."""
    (tmp_path / "probe").mkdir()
    (tmp_path / "probe/__init__.py").touch()
    (tmp_path / "probe/__main__.py").write_text(source)
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "pipeline.program", "probe", "one", "two"],
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        stdout=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    with process:
        assert process.stdout
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(5), first
        finally:
            process.kill()


@pytest.mark.parametrize(
    "busy",
    [
        pytest.param("import time; time.sleep(60)", id="waiting"),
        # One call of C that holds the main thread and lets others run, as generating does.
        pytest.param("import hashlib; hashlib.pbkdf2_hmac('sha1', b'', b'', 10**9)", id="in C"),
        pytest.param("import atexit, time; atexit.register(time.sleep, 60); 1/0", id="leaving"),
    ],
)
def test_sigterm_ends_a_program_at_once(tmp_path: Path, busy: str) -> None:
    process = started(tmp_path, f"import sys\nprint(sys.argv[1:], __name__)\n{busy}\n")
    assert ended(process) == (STATUS, "['one', 'two'] __main__\n")


def test_sigterm_ends_a_program_that_is_still_importing(tmp_path: Path) -> None:
    process = started(tmp_path, "from probe import slow\n")
    (tmp_path / "probe/slow.py").write_text("import time\nprint('importing')\ntime.sleep(60)\n")
    assert ended(process) == (STATUS, "importing\n")


def test_a_program_may_finish_what_it_began(tmp_path: Path) -> None:
    source = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
        "print('ready')\n"
        "signal.pause()\n"
    )
    assert ended(started(tmp_path, source)) == (3, "ready\n")


def test_a_programs_own_status_is_kept(tmp_path: Path) -> None:
    with started(tmp_path, "import sys; sys.exit(7)\n") as process:
        assert process.wait(10) == 7
