"""Units as systemd and its stand-in in a training machine start them.

The real one is this host's systemd as the manager of a user in namespaces of its own.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CONTRACTS = {
    "local/containers/standins/systemctl.py": "systemd, where the tests run as root beside it"
}

SYSTEMD = Path("/usr/lib/systemd/systemd")

Start = Callable[..., tuple[int, list[str]]]
"""Starts a unit of these files; its status, and the lines that the units noted."""

# A user's manager has nobody above it to tell it that systemd is there, or to give it a /run.
MANAGER = """\
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user/0
chmod 700 /run/user/0
export XDG_RUNTIME_DIR=/run/user/0 HOME="$1"
"$2" --user --log-level=warning >"$1/manager.log" 2>&1 &
until [ -S /run/user/0/systemd/private ]; do sleep 0.05; kill -0 $! || exit 125; done
status=0
systemctl --user start "$3" || status=$?
echo $status >"$1/status"
# Its units may be at their ends, and what follows from these.
until ! systemctl --user list-jobs --no-legend | grep -q . &&
    ! systemctl --user list-units --no-legend --state=active,activating,deactivating 't*.service' |
        grep -q .; do sleep 0.05; done
"""


def stand_in(folder: Path, name: str) -> int:
    program = (
        "import sys; from pathlib import Path; from local.containers.standins import systemctl;"
        f"systemctl.UNITS = Path({str(folder / 'units')!r});"
        "sys.exit(systemctl.main(sys.argv[1:]))"
    )
    # A unit that is no oneshot goes on in the background, and ends before its output does.
    started = subprocess.run(
        [sys.executable, "-c", program, "start", name], capture_output=True, check=False, timeout=60
    )
    return started.returncode


def real(folder: Path, name: str) -> int:
    if not SYSTEMD.exists() or os.geteuid() != 0:
        pytest.skip("real systemd: it is not here, or the tests do not run as root")
    home = folder / "home"
    (home / ".config/systemd").mkdir(parents=True)
    (home / ".config/systemd/user").symlink_to(folder / "units")
    script = folder / "manager.sh"
    script.write_text(MANAGER)
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    ran = subprocess.run(
        [*namespaces, "sh", "-eu", str(script), str(home), str(SYSTEMD), name],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    status = home / "status"
    if not status.exists():
        pytest.skip(f"real systemd: it does not start here: {ran.stderr.strip()[-200:]}")
    return int(status.read_text())


@pytest.fixture(params=[stand_in, real], ids=["stand-in", "real"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    def start(name: str, files: dict[str, str]) -> tuple[int, list[str]]:
        notes = tmp_path / "notes"
        notes.touch()
        for file, text in files.items():
            path = tmp_path / "units" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                text.replace("NOTE", f"/usr/bin/tee -a {notes}").replace("DIR", str(tmp_path))
            )
        status = request.param(tmp_path, name)
        return status, notes.read_text().splitlines()

    return start


def note(words: str) -> str:
    """A command line that notes words; the manager expands what they hold."""
    return f'/bin/sh -c \'echo "$0" | NOTE\' "{words}"'


def unit(*lines: str, kind: str = "oneshot") -> str:
    return "\n".join(["[Service]", f"Type={kind}", *lines, ""])


def test_the_commands_of_a_unit_run_in_order_in_an_environment_of_its_own(start: Start) -> None:
    text = unit(
        'Environment=A=1 "B=two words"',
        "Environment=C=3",
        "EnvironmentFile=DIR/units/env",
        "EnvironmentFile=-DIR/units/none",
        "WorkingDirectory=/usr",
        f"ExecStartPost={note('post')}",
        f"ExecStartPre={note('pre ${A}')}",
        f"ExecStart={note('in a word: $A ${B} ${C} ${D} ${E} 100%% $$HOME')}",
        'ExecStart=/bin/sh -c \'echo "$# $1" | NOTE\' sh $B $NOTHING "$A"',
        "ExecStart=/bin/sh -c 'pwd | NOTE'",
        f"ExecStopPost={note('stopped ${SERVICE_RESULT}')}",
    )
    status, notes = start("t.service", {"t.service": text, "env": "# no\nD=4\nE='five 5'\nC=9\n"})
    words = ["in a word: $A two words 9 4 five 5 100% $HOME", "3 two"]
    expected = ["pre 1", *words, "/usr", "post", "stopped success"]
    assert (status, notes) == (0, expected)


@pytest.mark.parametrize(
    ("command", "status", "result"),
    [("/bin/sh -c 'exit 3'", 1, "exit-code"), ("-/bin/sh -c 'exit 3'", 0, "success")],
)
def test_a_command_that_fails_ends_the_unit_unless_it_may_fail(
    start: Start, command: str, status: int, result: str
) -> None:
    text = unit(
        f"ExecStart={command}",
        f"ExecStart={note('second')}",
        f"ExecStartPost={note('post')}",
        f"ExecStopPost={note('stopped ${SERVICE_RESULT}')}",
    )
    rest = ["second", "post"] if status == 0 else []
    assert start("t.service", {"t.service": text}) == (status, [*rest, f"stopped {result}"])


def test_a_unit_that_takes_too_long_is_asked_to_end_and_then_killed_with_all_it_started(
    start: Start,
) -> None:
    script = "trap 'echo asked | NOTE' TERM; (trap '' TERM; sleep 30; echo child | NOTE) & "
    text = unit(
        "TimeoutStartSec=1",
        "TimeoutStopSec=1",
        f'ExecStart=/bin/sh -c "{script} while :; do sleep 0.1; done"',
        f"ExecStopPost={note('stopped ${SERVICE_RESULT}')}",
    )
    assert start("t.service", {"t.service": text}) == (1, ["asked", "stopped timeout"])


def test_a_drop_in_adds_and_clears(start: Start) -> None:
    files = {
        "t.service": unit("Environment=A=1", f"ExecStart={note('first')}"),
        "t.service.d/10.conf": "[Service]\nEnvironment=A=2\nExecStart=\n",
        "t.service.d/20.conf": f"[Service]\nExecStart={note('third ${A}')}\n",
    }
    assert start("t.service", files) == (0, ["third 2"])


@pytest.mark.parametrize(("command", "happened"), [("true", "success"), ("false", "failure")])
def test_what_follows_from_a_unit_s_result_is_started(
    start: Start, command: str, happened: str
) -> None:
    files = {
        "t.service": "[Unit]\nOnSuccess=t-success.service\nOnFailure=t-failure.service\n"
        + unit(f"ExecStart=/bin/{command}"),
        "t-success.service": unit(f"ExecStart={note('success')}"),
        "t-failure.service": unit(f"ExecStart={note('failure')}"),
    }
    status, notes = start("t.service", files)
    assert (bool(status), notes) == (happened == "failure", [happened])


def test_a_service_that_runs_for_too_long_is_ended(start: Start) -> None:
    text = unit(
        "RuntimeMaxSec=1",
        "ExecStart=/bin/sleep 30",
        f"ExecStopPost={note('stopped ${SERVICE_RESULT}')}",
        kind="simple",
    )
    assert start("t.service", {"t.service": text}) == (0, ["stopped timeout"])


def test_a_program_that_is_not_there_is_a_failure(start: Start) -> None:
    text = unit("ExecStart=/nowhere/program", f"ExecStopPost={note('stopped ${SERVICE_RESULT}')}")
    assert start("t.service", {"t.service": text}) == (1, ["stopped exit-code"])


def test_a_unit_that_is_not_there_has_a_status_of_its_own(start: Start) -> None:
    assert start("t.service", {"other.service": unit("ExecStart=/bin/true")}) == (5, [])
