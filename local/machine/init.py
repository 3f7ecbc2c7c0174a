"""Process 1 of a VM: runs cloud-init's commands, waits for every process, and can be powered off.

Run as a file inside the VM's sandbox: `init.py SCRIPT`. The stand-ins for poweroff and shutdown
send it the signal by which systemd is told to power off. It ends with 0 when the VM was powered
off, 143 when the machine took the power away (SIGTERM, as in a preemption), and 1 when nothing runs
any more although nothing has powered the VM off: at Google it would go on running, and costing.
Standard library only.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

POWERED_OFF = Path("/var/powered-off")
POWER_OFF_SIGNAL = signal.SIGRTMIN + 4  # systemd(1): starts poweroff.target
_GRACE = 2.0  # seconds that the programs have to end; systemd gives them 90


class _Ending(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


def main() -> int:
    """Runs the VM to its end."""
    signal.signal(POWER_OFF_SIGNAL, _power_off)
    signal.signal(signal.SIGTERM, _lose_power)
    try:
        subprocess.Popen(["/bin/sh", sys.argv[1]], start_new_session=True)
        _reap()
    except _Ending as ending:
        _end_all()
        return ending.status
    print(
        "VM: nothing runs any more and nothing has powered it off: at Google it stays up, and is"
        " paid for, until its maximum duration; end the start-up script with poweroff"
    )
    return 1


def _power_off(*_: object) -> None:
    POWERED_OFF.touch()
    raise _Ending(0)


def _lose_power(*_: object) -> None:
    raise _Ending(128 + signal.SIGTERM)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def _end_all() -> None:
    """Ends the processes in order; whoever stays is killed when this process ends."""
    for number in (POWER_OFF_SIGNAL, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main())
