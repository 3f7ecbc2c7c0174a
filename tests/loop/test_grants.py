"""Each grant is needed: with any one of them taken away, a part of the loop fails and names it."""

# pyright: reportPrivateUsage=false

import contextlib
import json
import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from demo.samples import archive, base, grammar
from local.cloud import Cloud
from local.containers.runtime import ContainerRuntime
from pipeline import layout, slots
from pipeline.runs import read_result
from pipeline.slots import Slot
from tests.local.declaring import INSTANCE, Declarer
from tests.loop.deployment import ROOT, Deployment
from tests.stacks import granted
from tests.stacks.granted import Permissions
from tests.stacks.recorder import declare

pytestmark = pytest.mark.deep

PROJECT, STACK = "local-bots", "local"
REGISTRY = f"europe-west4-docker.pkg.dev/{PROJECT}/{STACK}-bots"
# Enough to release a model that passes the gate; its quality is tests/trainer's business.
STEPS = 60
# The account that learns anew in each training, and what it takes from the world.
LEARNER, LEARNERS_HANDLE = "baker", "grumpybaker"
HANDLES = {"keeper": "lampkeeper", LEARNER: LEARNERS_HANDLE}
_LACKS = re.compile(r"(serviceAccount:\S+) lacks (\S+) on ([^\s;]+)")

AGENT = "@gs-project-accounts.iam.gserviceaccount.com"

Grant = dict[str, Any]
Part = Callable[[], list[str]]
"""Does a part of the loop; what is wrong with how it went, so nothing where it went well."""


class Loop(Deployment):
    """The parts of the loop, each from the same state however often and in which order."""

    trainings = 0
    # What `:live` of the keeper is.
    released: str | None = None

    def seed(self) -> None:
        """What the world brings: tweets and keys."""
        until = self.cloud.now() - timedelta(hours=1)
        self.client.add_x_user("lampkeeper", grammar.timeline("keeper", until))
        self.client.add_x_user(LEARNERS_HANDLE, [])
        for account, handle in HANDLES.items():
            self.bots("credentials", account, given=json.dumps(self.client.x_keys(handle)))
        self.bots("credentials", "--bearer", given=self.client.x_bearer())

    def collect(self) -> list[str]:
        """A new tweet is collected."""
        # Later than the last try's.
        now = self.cloud.now() + timedelta(hours=1)
        self.client.advance(now)
        self.client.add_x_user("lampkeeper", [(f"The lamp is lit at {now}.", now)])
        # A slot of the bot, whose post is gone around.
        slot = slots.name(now)
        if slots.read(self.cloud.data, "keeper", slot) is None:
            record = Slot(state="nothing", execution="e", nonce="n", at=now, expires=now)
            slots.write(self.cloud.data, "keeper", slot, record, generation=0)
        before = self.status()["accounts"]["keeper"]["tweets"]
        wrong = self.fire("local-keeper-collect")
        if self.status()["accounts"]["keeper"]["tweets"] == before:
            wrong.append("no tweet came")
        return wrong

    def post(self, account: str) -> list[str]:
        """There is a new post, in a slot of its own."""
        self.client.advance(self.cloud.now() + timedelta(days=1))
        before = len(self.client.x_posts(HANDLES[account]))
        wrong = self.fire(f"local-{account}-post")
        if len(self.client.x_posts(HANDLES[account])) == before:
            wrong.append("nothing was posted")
        return wrong

    def fire(self, schedule: str) -> list[str]:
        fired = self.client.fire(schedule)
        if fired["attempt"]["error"]:
            return [fired["attempt"]["error"]]
        execution = fired["execution"]
        if execution["outcome"] == "succeeded":
            return []
        return [execution["reason"], self.client.log("executions", execution["name"])]

    def release(self) -> list[str]:
        """The pointer, written again, brings about a build that points `:live`.

        Beside it, a build for an account that has no release yet ends well and does nothing.
        """
        before = self.client.status()
        newcomer = layout.base_pointer("newcomer")
        base_pointer = self.cloud.models.read(layout.base_pointer("keeper"))
        assert base_pointer is not None
        generation = self.cloud.models.write(newcomer, base_pointer.data, generation=0)
        pointer = self.cloud.models.read(layout.live_pointer("keeper"))
        assert pointer is not None
        self.cloud.models.write(
            layout.live_pointer("keeper"), pointer.data, generation=pointer.generation
        )
        self.wait_for_builds()
        self.cloud.models.delete(newcomer, generation=generation)
        after = self.client.status()
        known = {build["id"] for build in before["builds"]}
        new = [build for build in after["builds"] if build["id"] not in known]
        if not new:
            return [p for p in after["problems"] if p not in before["problems"]] or ["no build"]
        return [
            text
            for build in new
            for text in (self.client.log("builds", build["id"]),)
            if build["status"] != "SUCCESS"
            or not re.search("keeper:live is|newcomer has no release yet", text)
        ]

    def train(self) -> list[str]:
        """A machine gives an account that has none its first release."""
        models, declarer = self.cloud.models, self.declarer
        self.forget_releases()
        self.trainings += 1
        machine = f"train-local-try-{self.trainings}"
        declarer.declare(
            INSTANCE,
            machine,
            name=machine,
            zone="europe-west4-a",
            sourceInstanceTemplate=self.template,
        )
        log = self.wait_until_off(machine)
        declarer.remove(INSTANCE, machine)
        self.wait_for_builds()
        result = read_result(models, machine)
        outcome = result and result.accounts[LEARNER]
        released = models.read(layout.live_pointer(LEARNER)) is not None
        if outcome and outcome.outcome == "live" and released and "Cloud Logging" not in log:
            return []
        return [log, str(outcome), f"{LEARNER} has no new release"]

    def retrain(self) -> list[str]:
        """The schedule's run finds news and a machine, and ends when that has powered itself off.

        It trains nothing: another run is said to be training each account.
        """
        models = self.cloud.models
        self.forget_releases()
        self.imported()
        for account in HANDLES:
            lease = models.read(layout.lease(account))
            terms = {
                "holder": "other",
                "expires": (self.cloud.now() + timedelta(hours=1)).isoformat(),
            }
            models.write(
                layout.lease(account),
                json.dumps(terms).encode(),
                generation=lease.generation if lease else 0,
            )
        if models.read(layout.run_lease()) is not None:
            # Of a run that could not delete its machine, or its lease.
            models._bucket.delete_blob(layout.run_lease())
        complaints = self.fire("local-retrain")
        (*_, execution) = self.client.status()["executions"]
        log = self.client.log("executions", execution["name"])
        if "does not reach Cloud Logging" in log:
            complaints.append(log)
        if "no machine is made" in log or "nothing is trained" in log:
            complaints.append(f"no machine was made: {log}")
        for account in HANDLES:
            models._bucket.delete_blob(layout.lease(account))
        return complaints

    def imported(self) -> None:
        """The learner's tweets are there."""
        if self.status()["accounts"][LEARNER]["tweets"]:
            return
        until = self.cloud.now() - timedelta(hours=1)
        archive.write(self.home / "baker.zip", LEARNERS_HANDLE, grammar.timeline("baker", until))
        self.bots("import", "baker", str(self.home / "baker.zip"))

    def forget_releases(self) -> None:
        """The learner has never been trained."""
        models = self.cloud.models
        for name in (*models.names(layout.releases(LEARNER)), layout.live_pointer(LEARNER)):
            if models.read(name) is not None:
                models._bucket.delete_blob(name)

    def watch(self) -> list[str]:
        """The watcher sees that `:live` is not what it should be, and has it mended."""
        # What it remembers would have it wait; an account without a release is looked at, too.
        data = self.cloud.data
        if data.read(layout.watch_state()) is not None:
            data._bucket.delete_blob(layout.watch_state())
        self.forget_releases()
        machine = ContainerRuntime(self.home / "machine")
        try:
            live = f"{REGISTRY}/keeper:live"
            self.released = self.released or machine.resolve(live)
            machine.retag(live, f"{REGISTRY}/app:{STACK}")
            wrong = self.fire("local-watcher")
            self.wait_for_builds()
            if machine.resolve(live) != self.released:
                wrong.append(f"{live} is not restored")
                # Posting takes the image that the tag means.
                machine.retag(live, f"{REGISTRY}/keeper@{self.released}")
        finally:
            machine.close()
        return wrong

    def ask(self) -> list[str]:
        """A new instance of a tweet API sees that there is no release yet."""
        self.forget_releases()
        service = f"local-{LEARNER}-api"
        log = self.home / f"logs/services/{service}.log"
        said = len(log.read_text()) if log.exists() else 0
        for file in Path("/proc").glob("[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                if file.readlink() == log:
                    os.kill(int(file.parts[2]), signal.SIGKILL)
        token = {"Authorization": f"Bearer {self.client.token()}"}
        url = f"{self.client.url}/run/{service}/"
        answers: list[requests.Response] = []

        def answered() -> bool:
            # What the local cloud says itself, while the old instance ends, is no text.
            answers.append(requests.get(url, headers=token, timeout=300))
            return isinstance(answers[-1].json().get("error"), str)

        self.wait(answered, f"{service} to answer")
        if "has no release yet" in answers[-1].text:
            return []
        return [answers[-1].text, log.read_text()[said:]]

    def begin_training(self) -> None:
        """What machines are made from, and how."""
        ports = self.client.status()["providers"]
        cloud = SimpleNamespace(providers=SimpleNamespace(ports=ports))
        self.declarer = Declarer(cast("Cloud", cloud), PROJECT)
        (self.template,) = [
            r["outputs"]["selfLinkUnique"]
            for r in self.state().values()
            if r["type"] == "gcp:compute/instanceTemplate:InstanceTemplate"
        ]


def part_for(grant: Grant) -> str:
    """The part of the loop that needs the grant."""
    who = grant["member"].partition(":")[2].partition("@")[0]
    who = who.removeprefix(f"{STACK}-")
    if who == "scheduler":
        who = grant["resource"].rpartition(f"/{STACK}-")[2]
    if who.endswith("-post"):
        return f"post {who.removesuffix('-post')}"
    if who in {"scraper", "keeper-collect"}:
        return "collect"
    if who == "watcher":
        return "watch"
    if who == "retrain":
        return "retrain"
    if who == "trainer":
        return "train"
    if who == "api":
        return "ask"
    if who == "build" or grant["member"].endswith(AGENT):
        return "release"
    return ""


def parts(loop: Loop) -> dict[str, Part]:
    return {
        "collect": loop.collect,
        "post keeper": lambda: loop.post("keeper"),
        f"post {LEARNER}": lambda: loop.post(LEARNER),
        "release": loop.release,
        "train": loop.train,
        "retrain": loop.retrain,
        "watch": loop.watch,
        "ask": loop.ask,
    }


def names(complaints: list[str], grant: Grant) -> bool:
    """Whether the complaints say that it is this grant which is lacking."""
    # The objects of a managed folder are those whose names begin as it does.
    on = grant["resource"].replace("/managedFolders/", "/objects/")
    prefixes = re.findall(r'startsWith\("([^"]+)"\)', grant["condition"]) or [on]
    return any(
        member == grant["member"]
        and permission in grant["permissions"]
        and resource.startswith(tuple(prefixes))
        for member, permission, resource in _LACKS.findall("\n".join(complaints))
    )


def without(loop: Loop, grant: Grant) -> str:
    """Do what needs the grant without it; what is wrong where that does not fail as it should."""
    part = parts(loop)[part_for(grant)]
    loop.client.suspend(grant["id"])
    try:
        complaints = part()
    finally:
        loop.client.restore(grant["id"])
    if not complaints:
        return f"{part_for(grant)} does well without {grant['id']}"
    if not names(complaints, grant):
        return f"{part_for(grant)} does not name {grant['id']}: {complaints}"
    return ""


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    deployment = Loop.begin(tmp_path_factory.mktemp("grants"))
    assert isinstance(deployment, Loop)

    def cheap(values: dict[str, Any]) -> None:
        values["gpt2-bots:training"]["settings"].update(steps=STEPS, save_every=20)
        values["gpt2-bots:training"]["schedule"] = "0 2 * * 1"
        values["gpt2-bots:accounts"][LEARNER]["serve"] = {}
        for account in values["gpt2-bots:accounts"].values():
            account.update(reads_usd_per_month=100, posts_usd_per_month=100)

    deployment.configure(cheap)
    try:
        deployment.up()
        deployment.seed()
        for file in sorted(base.cached(ROOT).iterdir()):
            deployment.cloud.models.upload(layout.base_model("tiny") + file.name, file)
        yield deployment
    finally:
        deployment.end()


@pytest.fixture(scope="module")
def trained(loop: Loop) -> Loop:
    """The loop once around, with every part of it green."""
    loop.imported()
    loop.begin_training()
    for name in ("collect", "train", "release", "watch", "post keeper", f"post {LEARNER}"):
        assert parts(loop)[name]() == [], name
    return loop


# Training comes first, before anything is collected, so that nobody has to wait for a model.
@pytest.mark.parametrize(
    ("part", "grants", "tries"), [("retrain", 9, 4), ("collect", 5, 3), ("ask", 2, 2)]
)
def test_a_part_of_the_loop_needs_each_of_its_grants(
    loop: Loop, part: str, grants: int, tries: int
) -> None:
    do = parts(loop)[part]
    assert do() == []
    needed = [grant for grant in loop.client.grants() if part_for(grant) == part]
    assert len(needed) == grants
    tried = random.Random(4).sample(needed, tries)
    assert [wrong for grant in tried if (wrong := without(loop, grant))] == []
    assert do() == []


def kind_of(grant: Grant, stack: str) -> str:
    """Who has which role, without the names of stack and account."""
    who = grant["member"].partition("@")[0].rpartition("-")[2]
    if grant["member"].endswith(AGENT):
        who = "storage agent"
    role = grant["role"].rpartition("/")[2].removeprefix(f"{stack}_")
    # A custom role's id ends in that of the account that holds it.
    return f"{who}: {re.sub(r'_[0-9]{21}$', '', role)}"


def of_programs(grants: list[Grant]) -> list[Grant]:
    """Without the people who may look at the project, whom Google lets list."""
    return [grant for grant in grants if not grant["member"].startswith("projectViewer:")]


def test_every_grant_of_a_stack_with_everything_on_is_tried(loop: Loop) -> None:
    here = of_programs(loop.client.grants())
    assert [grant["id"] for grant in here if part_for(grant) not in parts(loop)] == []
    everywhere = Permissions.of(declare(granted.STACK, granted.everything())).grants
    declared = {
        kind_of(grant, granted.STACK) for grant in of_programs([asdict(g) for g in everywhere])
    }
    assert declared == {kind_of(grant, STACK) for grant in here}


def brings_a_base_model(grant: Grant) -> bool:
    """Whether a grant is for what comes from OpenAI's host, which no test has.

    The table of calls names it, and tests/pipeline/test_published.py makes the calls.
    """
    return "/objects/base/" in grant["condition"] and grant["role"].endswith("objectCreator")


@pytest.mark.parametrize("order", ["as declared", "reversed"])
def test_without_any_one_grant_the_loop_fails_and_names_it(trained: Loop, order: str) -> None:
    grants = [grant for grant in trained.client.grants() if part_for(grant) in parts(trained)]
    assert len([grant for grant in grants if brings_a_base_model(grant)]) == 1
    grants = [grant for grant in grants if not brings_a_base_model(grant)]
    tried = grants if order == "as declared" else grants[::-1]
    assert [wrong for grant in tried if (wrong := without(trained, grant))] == []
    assert [wrong for part in parts(trained).values() for wrong in part()] == []
