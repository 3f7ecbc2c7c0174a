"""What fails or is interrupted part-way is completed by the next `up`: no orphan, nothing twice.

The real engine deploys the real program to a local cloud whose providers fail or hang a call on
demand. A failed call either had no effect, or had it and was answered as the real providers answer
(`tests.local.breakable`); what it cannot show is what Google itself leaves half made.

In the long tests every resource of the stack has its turn: each fails once, `up` is repeated with
`--continue-on-error`, and so each `up` meets the failures of one layer of the graph and has to
carry on from those of the layer before. After each, state and cloud are compared.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.breakable import Method, When
from tests.loop.deployment import Deployment, Values

pytestmark = pytest.mark.deep

TOPIC = "gcp:pubsub/topic:Topic"
JOB = "gcp:cloudrunv2/job:Job"
REGISTRY = "gcp:artifactregistry/repository:Repository"
# The graph's depth is about ten; more rounds would mean that one undoes another's work.
ROUNDS = 30


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """One account, nothing deployed yet."""
    made = Deployment.begin(tmp_path)
    made.configure(lambda c: c["gpt2-bots:accounts"].pop("baker"))
    try:
        yield made
    finally:
        made.end()


def hang(deployment: Deployment, resource: str, when: When, signal_: signal.Signals) -> str:
    """Interrupt an `up` while it waits for the creation of a resource; what it said."""
    deployment.client.fail("Create", resource, when, hang=True)
    with deployment.start("up", "--yes", "--skip-preview") as up:
        deployment.wait(
            lambda: bool(deployment.client.faults()["hanging"] or up.poll()), "the call to hang"
        )
        os.killpg(up.pid, signal_)
        said, errors = up.communicate()
    assert up.returncode not in (0, None)
    return said + errors


def everything(values: Values) -> None:
    """A machine by hand and one on a schedule, and somebody who is told what goes wrong."""
    values["gpt2-bots:training"].update(run="once", schedule="0 2 * * 1")
    values["gpt2-bots:monitoring"] = {
        "emails": ["operator@example.com"],
        "budget": {"billing_account": "01ABCD-23EF45-6789AB", "amount_per_month": 50},
    }


def left(deployment: Deployment) -> list[str]:
    """The resources whose fault is still to come."""
    return [fault["resource"] for fault in deployment.client.faults()["left"]]


def repeat(deployment: Deployment, *arguments: str) -> None:
    """Run the CLI until it succeeds; each failed time must have met a fault, and left no orphan.

    What is declared as kept after its deletion is none.
    """
    kept = {urn for urn, r in deployment.state().items() if r.get("retainOnDelete")}
    for _ in range(ROUNDS):
        before = left(deployment)
        done = deployment.pulumi(*arguments, "--yes", "--skip-preview", ok=None)
        orphans = {urn for urn, _ in deployment.there() - deployment.known()}
        assert orphans <= kept
        if done.returncode == 0:
            return
        assert left(deployment) != before, done.stdout + done.stderr
    pytest.fail(f"not done after {ROUNDS} rounds")


def test_what_was_interrupted_or_failed_after_its_effect_the_next_up_completes(
    deployment: Deployment,
) -> None:
    said = hang(deployment, TOPIC, "after", signal.SIGINT)
    assert "cancelling" in said
    assert deployment.there() == deployment.known()
    deployment.client.fail("Create", JOB, "after")
    deployment.up(ok=False)
    assert deployment.there() == deployment.known()
    deployment.up()
    assert deployment.there() == deployment.known()
    assert deployment.client.faults() == {"left": [], "hanging": []}
    assert deployment.planned() == set()


def test_after_a_kill_the_lock_is_taken_away_and_what_nobody_knows_of_is_made_again(
    deployment: Deployment,
) -> None:
    """As `docs/recovery.md` says: the engine has lost the answers that were on their way."""
    hang(deployment, REGISTRY, "after", signal.SIGKILL)
    assert "locked" in deployment.up(ok=False)
    deployment.pulumi("cancel", "--yes")
    orphans = {urn for urn, _ in deployment.there() - deployment.known()}
    assert any("Repository::registry" in urn for urn in orphans)
    said = deployment.up(ok=False)
    assert "interrupted while creating" in said
    assert "exists already" in said
    for urn, _ in deployment.there() - deployment.known():
        deployment.client.lose(urn)  # `gcloud … delete`
    deployment.up()
    deployment.pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates")
    assert deployment.there() == deployment.known()
    assert "pending operations" not in deployment.up("--expect-no-changes")


@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_failure_at_each_resource_in_turn_the_next_up_completes(
    deployment: Deployment, when: When
) -> None:
    def fail_each(method: Method, urns: set[str]) -> None:
        for urn in urns:
            deployment.client.fail(method, urn, when)

    deployment.configure(everything)
    planned = {urn for op, urn in deployment.planned() if op == "create"}
    fail_each("Create", planned)
    repeat(deployment, "up", "--continue-on-error")
    custom = {urn for urn, r in deployment.state().items() if r["custom"]}
    components = planned - custom
    providers = {urn for urn in custom if "pulumi:providers:" in urn}
    assert set(left(deployment)) == components | providers & planned
    assert deployment.there() == deployment.known()
    assert deployment.planned() == set()

    def other_times(values: Values) -> None:
        values["gpt2-bots:accounts"]["keeper"].update(
            time_zone="Asia/Tokyo", collect="5 3 * * *", post="5 9 * * *"
        )

    deployment.configure(other_times)
    changing = {urn for op, urn in deployment.planned() if op == "update"}
    assert len(changing) >= 3
    fail_each("Update", changing)
    repeat(deployment, "up", "--continue-on-error")
    assert not changing & set(left(deployment))
    assert deployment.planned() == set()

    fail_each("Delete", custom - providers)
    # Google's provider fails to delete a machine that is gone, so the answer may not be lost on it.
    repeat(deployment, "destroy", "--continue-on-error", "--refresh")
    assert deployment.state() == {}
    assert deployment.client.status()["resources"] == 0
