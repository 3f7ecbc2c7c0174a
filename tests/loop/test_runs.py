"""A run that is finished is never trained again, and its machine never stands in the way.

The machine is the local cloud's and runs the template's own start-up and the real trainer, which
here has nothing to train on and so ends at once: with a result, as after any training.
"""

from collections.abc import Iterator

import pytest

from local.services.secretmanager.secrets import Secrets
from tests.loop.deployment import Deployment, Values

pytestmark = pytest.mark.deep

RESULT = "runs/train-local-once/result.json"
MACHINE = "train-local-once"
AGAIN = "is finished already: nothing is trained"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One account, and a run by hand that is over; its machine stands powered off."""
    deployment = Deployment.begin(tmp_path_factory.mktemp("runs"))
    deployment.configure(lambda c: c["gpt2-bots:accounts"].pop("baker"))
    deployment.configure(lambda c: c["gpt2-bots:training"].update(run="once"))
    try:
        deployment.up()
        deployment.wait_until_off(MACHINE)
        yield deployment
    finally:
        deployment.end()


def machine(deployment: Deployment) -> str:
    (urn,) = [urn for urn in deployment.state() if "InstanceFromTemplate::" in urn]
    return urn


def trained(deployment: Deployment) -> int:
    """The generation of the run's result: another one would be another training."""
    found = deployment.cloud.models.read(RESULT)
    assert found is not None
    return found.generation


def boots(deployment: Deployment) -> str:
    """The log of the machine, which is there once."""
    assert [i["name"] for i in deployment.client.status()["instances"]] == [MACHINE]
    return deployment.wait_until_off(MACHINE)


def test_refreshing_a_machine_that_is_off_changes_nothing(finished: Deployment) -> None:
    before, log = trained(finished), boots(finished)
    finished.pulumi("refresh", "--yes", "--skip-preview")
    finished.up("--refresh", "--expect-no-changes")
    assert (trained(finished), boots(finished)) == (before, log)


def test_a_changed_template_leaves_the_machine_of_a_run_alone(finished: Deployment) -> None:
    before, log, old = trained(finished), boots(finished), finished.state()[machine(finished)]

    def other_machine(values: Values) -> None:
        training = values["gpt2-bots:training"]
        zones = training["zones"]
        training.update(machine_type="n1-standard-8", hours=3, spot=not training.get("spot"))
        training.update(zones=[*zones[1:], zones[0]] if len(zones) > 1 else [zones[0][:-1] + "d"])

    finished.configure(other_machine)
    planned = {(op, urn.rpartition("::")[2]) for op, urn in finished.planned()}
    assert ("replace", "trainer") in planned
    assert "train-once" not in {name for _, name in planned}
    finished.up("--refresh")
    assert finished.planned() == set()
    assert (trained(finished), boots(finished)) == (before, log)
    assert finished.state()[machine(finished)]["id"] == old["id"]


def test_a_machine_that_is_gone_is_made_again_by_a_refresh_and_trains_nothing(
    finished: Deployment,
) -> None:
    before = trained(finished)
    assert AGAIN not in boots(finished)
    finished.client.lose(machine(finished))
    assert finished.planned() == set()  # without a look at the cloud
    finished.up("--refresh")
    assert AGAIN in boots(finished)
    assert trained(finished) == before


def test_a_machine_that_is_gone_is_forgotten_by_dropping_its_run_with_a_refresh(
    finished: Deployment,
) -> None:
    before = trained(finished)
    finished.client.lose(machine(finished))
    finished.configure(lambda c: c["gpt2-bots:training"].pop("run"))
    assert "was not found" in finished.up(ok=False)
    finished.up("--refresh")
    assert finished.planned() == set()
    assert finished.there() == finished.known()
    finished.configure(lambda c: c["gpt2-bots:training"].update(run="once"))
    finished.up()  # the same name once more
    assert AGAIN in boots(finished)
    assert trained(finished) == before


def test_a_secret_whose_version_was_destroyed_by_hand_keeps_what_the_operator_gave_it(
    finished: Deployment,
) -> None:
    def bearer() -> str:
        fired = finished.client.run("local-keeper-collect")
        return finished.client.log("executions", fired["execution"]["name"])

    before = (finished.home / "secrets/local-x-bearer").read_text()
    finished.up("--refresh")
    assert (finished.home / "secrets/local-x-bearer").read_text() == before
    assert "the X bearer token is not set" in bearer()
    finished.cloud.add_secret_version("local-x-bearer", "an-old-one")
    finished.cloud.add_secret_version("local-x-bearer", finished.client.x_bearer())
    secrets = Secrets(finished.home / "secrets")
    secrets.destroy_version("local-x-bearer", 1)
    newest = secrets.access("local-x-bearer")
    finished.pulumi("refresh", "--yes", "--skip-preview")
    finished.up("--expect-no-changes")
    assert secrets.access("local-x-bearer") == newest
    assert "is not set" not in bearer()


def test_destroying_a_stack_whose_machine_is_gone_needs_a_refresh(finished: Deployment) -> None:
    finished.client.lose(machine(finished))
    done = finished.pulumi("destroy", "--yes", "--skip-preview", ok=False)
    assert "was not found" in done.stdout + done.stderr
    finished.pulumi("destroy", "--yes", "--skip-preview", "--refresh")
    assert finished.state() == {}
