"""Process 1 of a VM: runs cloud-init's commands, waits for every process, and powers off.

It runs as a file inside the VM's sandbox: `vm_init.py SCRIPT`. The stand-ins for poweroff and
shutdown send it the signal that tells systemd to power off. Its status is 0 when the VM powered
itself off, 143 when it lost its power (SIGTERM, as in a preemption), and 1 when nothing runs any
more and the VM is still on. At Google that VM would stay up and cost money. Standard library only.
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
        # Container-Optimized OS mounts /var like this; bwrap has no option for it.
        subprocess.run(["mount", "-o", "remount,noexec", "/var"], check=True)
        subprocess.Popen(["/bin/sh", sys.argv[1]], start_new_session=True)
        _reap()
    except _Ending as ending:
        _end_all()
        return ending.status
    print(
        "VM: nothing runs any more and nothing has powered it off: at Google it would stay up and"
        " cost money until its maximum duration; end the start-up script with poweroff"
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
    """Asks all processes to end. The kernel kills the rest when this process ends."""
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
