"""What a person does with the stack, on the real engine: each gesture does just what it says."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import JsonValue

from tests.loop.deployment import Deployment, of_account

WEATHER = {
    "handle": "weatherfrog",
    "source": "timeline",
    "consent": "a made-up account",
    "x_terms_acknowledged": True,
    "collect": "0 4 * * *",
    "post": "0 12 * * *",
}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment.begin(tmp_path_factory.mktemp("gestures"))
    try:
        planned = deployment.planned()
        deployment.up()
        # What the first preview says is what the first `up` makes.
        assert {urn for _, urn in planned} == set(deployment.state()) - _providers(deployment)
        assert {op for op, _ in planned} == {"create"}
        yield deployment
    finally:
        deployment.end()


def _providers(deployment: Deployment) -> set[str]:
    """The engine's own default providers, which a preview does not list."""
    return {urn for urn in deployment.state() if "pulumi:providers:" in urn and "::default" in urn}


def _comparable(state: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What a resource is, without when it was looked at and how its secrets are encrypted."""
    return {
        urn: {k: _decided(r.get(k)) for k in ("id", "inputs", "outputs")}
        for urn, r in state.items()
        if "pulumi:pulumi:Stack" not in urn
    }


def _decided(value: JsonValue) -> JsonValue:
    """The value with a mark in place of each secret, whose text differs at every encryption."""
    if isinstance(value, dict):
        return "secret" if "ciphertext" in value else {k: _decided(v) for k, v in value.items()}
    return [_decided(v) for v in value] if isinstance(value, list) else value


def test_a_second_up_changes_nothing(deployed: Deployment) -> None:
    assert deployed.planned() == set()
    assert "unchanged" in deployed.up("--expect-no-changes")


def test_a_refresh_finds_everything_as_it_was_declared(deployed: Deployment) -> None:
    before = _comparable(deployed.state())
    deployed.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    assert _comparable(deployed.state()) == before
    assert deployed.planned() == set()


def test_a_third_account_creates_its_own_resources_and_touches_no_other(
    deployed: Deployment,
) -> None:
    before = _comparable(deployed.state())
    deployed.configure(lambda c: c["gpt2-bots:accounts"].update(weather=WEATHER))
    planned = deployed.planned()
    deployed.up()
    after = _comparable(deployed.state())
    new = set(after) - set(before)
    # Who may list stands in one grant, which gains one member.
    (listing,) = (urn for urn in before if urn.endswith("::data-list"))
    assert {("create", urn) for urn in new} | {("update", listing)} == planned
    assert {urn: after[urn] for urn in before if urn != listing} == {
        urn: before[urn] for urn in before if urn != listing
    }
    names = {urn.split("::", 2)[2].rpartition("$")[2] for urn in new}
    assert of_account(names, "weather") == names

    deployed.configure(lambda c: c["gpt2-bots:accounts"].pop("weather"))
    planned = deployed.planned()
    deployed.up()
    assert {urn for _, urn in planned} == {*new, listing}
    assert _comparable(deployed.state()) == before


def test_destroying_the_machine_alone_leaves_everything_else(deployed: Deployment) -> None:
    before = _comparable(deployed.state())
    deployed.configure(lambda c: c["gpt2-bots:training"].update(run="by-target"))
    deployed.up()
    new = set(_comparable(deployed.state())) - set(before)
    log = deployed.wait_until_off("train-local-by-target")
    assert "min_tweets" in log  # it ran, and had nothing to train on
    deployed.pulumi("destroy", "--yes", "--skip-preview", "--target", "**train-by-target")
    assert _comparable(deployed.state()) == before
    assert not deployed.client.status()["instances"]
    # The machine, its note for the watcher, and their component.
    assert len(new) == 3
    assert all(urn.endswith("::train-by-target") for urn in new)


def test_dropping_the_run_from_the_stack_file_removes_the_machine_alone(
    deployed: Deployment,
) -> None:
    deployed.configure(lambda c: c["gpt2-bots:training"].update(run="by-config"))
    deployed.up()
    deployed.wait_until_off("train-local-by-config")
    with_machine = _comparable(deployed.state())
    deployed.configure(lambda c: c["gpt2-bots:training"].pop("run"))
    planned = deployed.planned()
    deployed.up()
    assert {op for op, _ in planned} == {"delete"}
    assert len(planned) == 3  # the machine, its note for the watcher, and their component
    left = _comparable(deployed.state())
    assert {urn: r for urn, r in with_machine.items() if "::train-by-config" not in urn} == left


def test_a_machine_that_boots_again_for_a_finished_run_trains_nothing(
    deployed: Deployment,
) -> None:
    deployed.configure(lambda c: c["gpt2-bots:training"].update(run="again"))
    deployed.up()
    deployed.wait_until_off("train-local-again")
    deployed.pulumi("destroy", "--yes", "--skip-preview", "--target", "**train-again")
    deployed.up()  # the run is still named
    log = deployed.wait_until_off("train-local-again")
    assert "is finished already: nothing is trained" in log
    deployed.configure(lambda c: c["gpt2-bots:training"].pop("run"))
    deployed.up()


def test_a_mistake_in_the_stack_file_is_one_line_and_changes_nothing(deployed: Deployment) -> None:
    before = _comparable(deployed.state())
    deployed.configure(lambda c: c["gpt2-bots:accounts"]["keeper"].update(hande="x"))
    said = deployed.up(ok=False)
    assert "accounts.keeper.hande: unknown key; did you mean 'handle'?" in said
    assert "Traceback" not in said
    deployed.configure(lambda c: c["gpt2-bots:accounts"]["keeper"].pop("hande"))
    assert _comparable(deployed.state()) == before


def test_destroy_leaves_only_what_is_declared_as_kept(deployed: Deployment) -> None:
    deployed.pulumi("destroy", "--yes", "--skip-preview")
    assert deployed.state() == {}
    assert deployed.client.status()["resources"] == 0
