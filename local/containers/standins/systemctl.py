#!/opt/venv/bin/python -SE
"""Stands in for systemctl in a VM: starts the simple units that cloud-init wrote.

`start` runs a oneshot unit to its end, and any other unit in the background. It knows Environment=,
EnvironmentFile=, WorkingDirectory=, ExecStartPre=, ExecStart=, ExecStartPost=, ExecStopPost=,
TimeoutStartSec=, RuntimeMaxSec=, TimeoutStopSec=, OnSuccess=, OnFailure=, SuccessAction= and
FailureAction=poweroff, also in NAME.service.d/*.conf. Any other key that would change something is
an error. The unit's output goes to the VM's console. It cannot show an order between units,
restarts, timers, or a unit's limits.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

UNITS = Path("/etc/systemd/system")
KNOWN = {
    "After", "Before", "Description", "Documentation", "Environment", "EnvironmentFile",
    "ExecStart", "ExecStartPost", "ExecStartPre", "ExecStopPost", "FailureAction", "KillMode",
    "OnFailure", "OnSuccess", "RemainAfterExit", "Requires", "RuntimeMaxSec", "StandardError",
    "StandardOutput", "SuccessAction", "SyslogIdentifier", "TimeoutStartSec", "TimeoutStopSec",
    "Type", "WantedBy", "Wants", "WorkingDirectory",
}  # fmt: skip
SECONDS = {"": 1, "s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "hr": 3600, "d": 86400}
NETWORK = "MACHINE_NETWORK"


def fail(text: str, status: int = 1) -> NoReturn:
    """Ends this command with a line on standard error."""
    print(f"systemctl: {text}", file=sys.stderr)
    sys.exit(status)


class Unit:
    """A unit file with its drop-ins. A key has a list of values, which an empty value clears."""

    def __init__(self, name: str) -> None:
        self.name = name if "." in name else f"{name}.service"
        file = UNITS / self.name
        if not file.is_file():
            fail(f"Unit {self.name} not found.", 5)
        self.values: dict[str, list[str]] = {}
        for part in (file, *sorted(UNITS.glob(f"{self.name}.d/*.conf"))):
            self._read(re.sub(r"\\\n\s*", " ", part.read_text()))

    def _read(self, text: str) -> None:
        for line in text.splitlines():
            key, sign, value = line.strip().partition("=")
            if not sign or key.startswith(("#", ";")):
                continue
            if key not in KNOWN:
                fail(f"{self.name}: {key}= is not stood in for on this machine")
            known = self.values.setdefault(key.strip(), [])
            known.append(value.strip()) if value.strip() else known.clear()

    def last(self, key: str, default: str = "") -> str:
        """The last value of a key."""
        return (self.values.get(key) or [default])[-1]

    def seconds(self, key: str) -> float | None:
        """The seconds of a time span such as `90` or `1h 30min`; None for `infinity`."""
        value = self.last(key)
        if value in {"", "infinity", "0"}:
            return None
        parts = re.findall(r"(\d+)\s*([a-z]*)", value)
        return float(sum(int(number) * SECONDS[unit] for number, unit in parts))

    def environment(self) -> dict[str, str]:
        """The unit's environment, which has only the VM's network beside what the unit declares."""
        names = [NETWORK, *os.environ.get(NETWORK, "").split()]
        found = {name: os.environ[name] for name in names if name in os.environ}
        found["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
        words = [
            word for value in self.values.get("Environment", []) for word in shlex.split(value)
        ]
        for file in self.values.get("EnvironmentFile", []):
            path = Path(file.removeprefix("-"))
            if path.exists() or not file.startswith("-"):
                lines = path.read_text().splitlines()
                words += [word for line in lines for word in shlex.split(line, comments=True)]
        return found | dict(word.split("=", 1) for word in words)

    def commands(self, key: str, timeout: float | None, extra: dict[str, str]) -> str:
        """Runs the commands of a key one after another; returns systemd's name of the result."""
        environment = self.environment() | extra
        for text in self.values.get(key, []):
            prefix = re.match(r"[-@:+!]*", text)
            assert prefix
            words = shlex.split(text[prefix.end() :])
            line = [part for word in words for part in expand(word, environment)]
            try:
                process = subprocess.Popen(
                    line, env=environment, cwd=self.last("WorkingDirectory", "/"),
                    stdin=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                print(f"{self.name}: {line[0]}: {error.strerror}", flush=True)
                code = 203
            else:
                try:
                    code = process.wait(timeout)
                except subprocess.TimeoutExpired:
                    print(f"{self.name}: timed out after {timeout:g} s: {text}", flush=True)
                    self.end(process)
                    return "timeout"
            if code != 0 and "-" not in prefix[0]:
                print(f"{self.name}: {key}={text} ended with {code}", flush=True)
                return "exit-code"
        return "success"

    def end(self, process: "subprocess.Popen[bytes]") -> None:
        """Asks a command and all that it started to end, and then kills them."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + (self.seconds("TimeoutStopSec") or 90)
            try:
                os.killpg(process.pid, number)
                while time.monotonic() < deadline:
                    process.poll()
                    os.killpg(process.pid, 0)
                    time.sleep(0.01)
            except ProcessLookupError:
                return

    def start(self) -> int:
        """Runs the unit to its end, and the units and actions that follow from its result."""
        oneshot = self.last("Type", "simple") == "oneshot"
        limit = self.seconds("TimeoutStartSec" if oneshot else "RuntimeMaxSec")
        result = "success"
        for key in ("ExecStartPre", "ExecStart", "ExecStartPost"):
            result = self.commands(key, limit, {})
            if result != "success":
                break
        self.commands("ExecStopPost", None, {"SERVICE_RESULT": result})
        happened = "Success" if result == "success" else "Failure"
        for name in self.last(f"On{happened}").split():
            Unit(name).start()
        if self.last(f"{happened}Action").startswith("poweroff"):
            power_off()
        return 0 if result == "success" else 1


def expand(word: str, environment: dict[str, str]) -> list[str]:
    """Replaces `$NAME` (only a whole word), `${NAME}`, `$$` and `%%`, without a shell.

    Source: systemd.service(5), "COMMAND LINES".
    """
    word = word.replace("%%", "%")
    if re.match(r"\$[^{$]", word):
        return shlex.split(environment.get(word[1:], ""))
    found = re.sub(
        r"\$\$|\$\{([A-Za-z_]\w*)\}",
        lambda m: "$" if m[0] == "$$" else environment.get(m[1], ""),
        word,
    )
    return [found]


def power_off() -> None:
    """Ends the VM."""
    subprocess.run(["poweroff"], check=True)


def main(arguments: list[str]) -> int:
    """Runs one systemctl command."""
    flags = {word for word in arguments if word.startswith("-")}
    verb, *names = [word for word in arguments if not word.startswith("-")] or [""]
    if verb == "poweroff":
        power_off()
        return 0
    if verb in {"daemon-reload", "enable", "disable", "mask", "stop", "reset-failed"}:
        return 0
    if verb != "start":
        fail(f"{verb}: not stood in for on this machine", 2)
    status = 0
    for unit in map(Unit, names):
        if "--no-block" in flags or unit.last("Type", "simple") != "oneshot":
            sys.stdout.flush()
            if os.fork() == 0:
                os._exit(unit.start())
        else:
            status = unit.start() or status
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
