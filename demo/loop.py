"""The whole loop on this machine, shown stage by stage.

It runs `pulumi up`, `bots` and the scheduled jobs, as a person would, and waits for their effects.
It may be run again, also after it was stopped.
"""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from bots.cloud import Cloud
from bots.status import AccountStatus, gather
from demo.samples import archive, base, grammar
from demo.stages import Report, last_message, stage, training_progress
from local import daemon
from local.stack import LocalStack
from pipeline import layout, release, slots
from pipeline.errors import UserError
from pipeline.runs import RunResult, read_result
from stacks import config
from stacks.config import Stack

ROOT = Path(__file__).resolve().parents[1]
_INTERVAL = 0.25  # seconds between two checks of what the cloud is doing
_TIMEOUT = 900  # seconds for anything that the cloud does by itself


def main(local: LocalStack, stack: Stack) -> int:
    """Runs the loop; returns the exit code."""
    console = Console(highlight=False)
    # A process that a shell starts in the background ignores SIGINT by default.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        base_model = _base_model(console, stack)
        Demo(console, local, stack).run(base_model)
    except KeyboardInterrupt:
        daemon.down(local.home)
        console.print("\nStopped, and nothing is left running; `make demo` carries on.")
        return 130
    return 0


def _base_model(console: Console, stack: Stack) -> Path | None:
    """Returns the tiny base model if the stack trains from it."""
    if stack.training is None or stack.training.settings.base_model != "tiny":
        return None
    with stage(console, "Base model") as report:
        folder = base.cached(ROOT, lambda done, of: report("training it, once", done / of))
        report(f"{folder.name}, made on this machine", 1)
    return folder


class Demo:
    """One run of the loop."""

    def __init__(self, console: Console, local: LocalStack, stack: Stack) -> None:
        self._console = console
        self._local = local
        self._stack = stack
        self._client = local.start()
        self._cloud = Cloud(stack)
        self._before: dict[str, AccountStatus] = {}

    def run(self, base_model: Path | None) -> None:
        """Runs every stage in order, then shows the results."""
        self._deploy("Deploy", self._local.stack_file)
        self._feed(base_model)
        self._before = gather(self._cloud)["accounts"]
        self._collect()
        self._train()
        self._release()
        self._post()
        self._call_api()
        self._show()

    def _deploy(self, title: str, stack_file: Path) -> None:
        """Runs a real `pulumi up`."""
        with stage(self._console, title) as report:
            report("pulumi up", None)
            arguments = ["up", "--yes", "--skip-preview", "--non-interactive"]
            command, environment = self._local.command(
                [*arguments, "--config-file", str(stack_file)], self._client
            )
            lines: list[str] = []
            with subprocess.Popen(
                command,
                env=environment,
                cwd=ROOT,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            ) as process:
                assert process.stdout is not None
                done = 0
                try:
                    for line in process.stdout:
                        lines.append(line)
                        done += bool(
                            re.match(r" [-+~]+ .*(created|updated|deleted|replaced)", line)
                        )
                        report(f"pulumi up: {done} done", None)
                except KeyboardInterrupt:
                    process.wait()  # It has received the signal as well, and ends in order.
                    raise
            if process.returncode:
                sys.stderr.writelines(lines)
                raise UserError("pulumi up failed; its output is above")
            report(_summary(lines), 1)

    def _feed(self, base_model: Path | None) -> None:
        """Sets up what a person would: tweets on X or in an archive, keys, a base model."""
        samples = self._local.home / "samples"
        with stage(self._console, "Samples") as report:
            if samples.exists():
                report("exist already", 1)
                return
            making = samples.with_suffix(".new")
            making.mkdir(exist_ok=True)
            if base_model is not None and self._stack.training is not None:
                prefix = layout.base_model(self._stack.training.settings.base_model)
                for file in sorted(base_model.iterdir()):
                    self._cloud.models.upload(prefix + file.name, file)
            until = self._newest(making / "newest")
            for name, account in self._accounts_with_samples():
                report(f"{name}'s tweets and keys", None)
                tweets = grammar.timeline(name, until)
                self._client.add_x_user(
                    account.handle, tweets if account.source == "timeline" else []
                )
                if account.source == "archive":
                    archive.write(making / f"{name}.zip", account.handle, tweets)
                self._bots(
                    "credentials", name, stdin=json.dumps(self._client.x_keys(account.handle))
                )
            self._bots("credentials", "--bearer", stdin=self._client.x_bearer())
            making.rename(samples)
            report("made-up tweets in two voices, X's keys, the base model", 1)

    def _newest(self, file: Path) -> datetime:
        """Returns the time of the newest sample tweet. The file keeps it for a restart."""
        if not file.exists():
            file.write_text((self._cloud.now() - timedelta(hours=1)).isoformat())
        return datetime.fromisoformat(file.read_text())

    def _accounts_with_samples(self) -> Iterator[tuple[str, config.Account]]:
        """Yields the accounts that have sample tweets."""
        return ((n, a) for n, a in self._stack.accounts.items() if n in grammar.VOICES)

    def _bots(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs the operator's command with the text `stdin` as its standard input."""
        process = subprocess.run(
            [
                *(sys.executable, "-m", "bots", *arguments),
                *("--config-file", str(self._local.stack_file)),
            ],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        if process.returncode:
            raise UserError(f"bots {arguments[0]} failed: {process.stderr.strip()}")
        return process.stdout.strip()

    def _collect(self) -> None:
        """Collects timelines with the scheduled job, and imports archives with `bots import`."""
        with stage(self._console, "Collect") as report:
            for name, account in self._stack.accounts.items():
                report(name, None)
                if account.collect is not None:
                    self._fire(name, "collect")
                if account.source == "archive" and name in grammar.VOICES:
                    zipped = self._local.home / "samples" / f"{name}.zip"
                    self._bots("import", name, str(zipped))
            accounts = gather(self._cloud)["accounts"]
            report(
                ", ".join(
                    f"{name} {now['tweets']} tweets"
                    f" ({now['tweets'] - self._before[name]['tweets']} new)"
                    for name, now in accounts.items()
                ),
                1,
            )

    def _fire(self, account: str, role: str) -> None:
        """Fires an account's schedule now, and checks how its job ended."""
        job = layout.job(self._stack.name, account, role)
        run = self._client.run(job)
        attempt = run["attempt"]
        if attempt and attempt["error"]:
            raise UserError(f"{job} was not started: {attempt['error']}")
        execution = run["execution"]
        if execution["outcome"] != "succeeded":
            log = self._client.log("executions", execution["name"])
            raise UserError(f"{job} {execution['outcome']}: {last_message(log)}")

    def _train(self) -> None:
        """Deploys a run by hand, waits until its machine is off, and removes the machine."""
        if self._stack.training is None:
            return
        run = self._next_run()
        machine = layout.machine(self._stack.name, run)
        stack_file = self._local.home / f"run/Pulumi.{self._stack.name}.yaml"
        stack_file.parent.mkdir(exist_ok=True)
        document: dict[str, Any] = yaml.safe_load(self._local.stack_file.read_text())
        document["config"]["gpt2-bots:training"]["run"] = run
        stack_file.write_text(yaml.safe_dump(document))
        self._deploy("Training machine", stack_file)
        with stage(self._console, "Train") as report:
            result = self._wait_for(machine, report)
            report(
                "; ".join(f"{n}: {_outcome_text(o)}" for n, o in result.accounts.items())
                or "no account to train",
                1,
            )
        self._deploy("Remove the machine", self._local.stack_file)

    def _next_run(self) -> str:
        """Returns a run that has no result yet: a new one, or an interrupted one."""
        number = 1
        while read_result(self._cloud.models, layout.machine(self._stack.name, f"demo-{number}")):
            number += 1
        return f"demo-{number}"

    def _wait_for(self, machine: str, report: Report) -> RunResult:
        def off() -> bool:
            (instance,) = [i for i in self._client.status()["instances"] if i["name"] == machine]
            report(*training_progress(self._client.log("instances", machine)))
            return instance["status"] == "TERMINATED"

        _until(off, f"machine {machine} to power itself off")
        result = read_result(self._cloud.models, machine)
        if result is None:
            log = self._client.log("instances", machine)
            raise UserError(f"machine {machine} ended without a result: {last_message(log)}")
        return result

    def _release(self) -> None:
        """Waits for the builds that the moved pointers started."""
        with stage(self._console, "Release") as report:
            report("building images", None)

            def settled() -> bool:
                return all(b["ended"] for b in self._client.status()["builds"])

            _until(settled, "the release builds to end")
            builds = self._client.status()["builds"]
            if failed := [b for b in builds if b["status"] != "SUCCESS"]:
                log = self._client.log("builds", failed[-1]["id"])
                raise UserError(f"a release build failed: {last_message(log)}")
            live = {
                name: release.read_live(self._cloud.models, name) for name in self._stack.accounts
            }
            report(
                ", ".join(f"{n}:live is {p[0].release}" for n, p in live.items() if p)
                or "nothing is released",
                1,
            )

    def _post(self) -> None:
        """Fires every posting schedule. A slot that has a post does not get another."""
        with stage(self._console, "Post") as report:
            results: list[str] = []
            for name, account in self._stack.accounts.items():
                if account.post is None:
                    continue
                report(name, None)
                slot = slots.name(slots.latest(account.post, account.time_zone, self._cloud.now()))
                posted_before = [p["slot"] for p in self._before[name]["posts"]]
                self._fire(name, "post")
                results.append(
                    f"{name} had posted for slot {slot}: not posted twice"
                    if slot in posted_before
                    else f"{name} for slot {slot}"
                )
            report(", ".join(results), 1)

    def _call_api(self) -> None:
        """Gets a text from each account that has an HTTP API."""
        served = [name for name, a in self._stack.accounts.items() if a.serve is not None]
        if not served:
            return
        with stage(self._console, "HTTP API") as report:
            texts: list[str] = []
            for name in served:
                report(name, None)
                text = self._client.ask(layout.service(self._stack.name, name))
                texts.append(f"{name}: {text}")
            report("; ".join(texts), 1)

    def _show(self) -> None:
        """Prints the table at the end, and what to try next."""
        table = Table(title="Results", title_justify="left")
        for column in ("account", "tweets", "release", "loss", "posted", "post's id"):
            table.add_column(column, overflow="fold")
        for name, account in gather(self._cloud)["accounts"].items():
            live = next((r for r in account["releases"] if r["live"]), None)
            last = account["posts"][-1] if account["posts"] else None
            table.add_row(
                name,
                str(account["tweets"]),
                live["tag"] if live else "none",
                f"{live['loss']:.3f}" if live else "",
                last["text"] if last else "nothing",
                str(last["id"]) if last else "",
            )
        self._console.print()
        self._console.print(table)
        stack = self._stack.name
        self._console.print(
            "The local cloud keeps running until it has been idle for an hour. To try next:\n"
            f"  the posts as people see them  {self._client.status()['x']}\n"
            f"  tweets, releases and posts    .venv/bin/bots status --stack {stack}\n"
            "  the next scheduled job        .venv/bin/python -m local tick\n"
            "  any Pulumi command            .venv/bin/python -m local pulumi preview\n"
            "  stop it                       .venv/bin/python -m local down",
            markup=False,
        )


def _until(done: Callable[[], bool], event: str) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while not done():
        if time.monotonic() > deadline:
            raise UserError(f"waited {_TIMEOUT} s for {event}: see `python -m local status`")
        time.sleep(_INTERVAL)


def _summary(lines: list[str]) -> str:
    """Returns what Pulumi prints under `Resources:`, as one line."""
    text = "".join(lines).rpartition("Resources:")[2].partition("Duration")[0]
    return ", ".join(line.strip() for line in text.splitlines() if line.strip())


def _outcome_text(outcome: Any) -> str:
    text = outcome.outcome if not outcome.release else f"{outcome.outcome}, {outcome.release}"
    return f"{text} ({outcome.reason})" if outcome.reason else text
