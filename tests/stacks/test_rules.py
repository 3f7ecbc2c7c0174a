"""Every environment keeps the rules, and every planted mistake breaks one."""

import pytest

from tests.stacks import granted, planted, rules
from tests.stacks.environments import ENVIRONMENTS, environment, stack_of
from tests.stacks.recorder import Recorder, declare


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_rule_holds(name: str) -> None:
    declared = declare(stack_of(name), environment(name))
    assert declared.providers_resources
    assert rules.faults(declared) == []


@pytest.fixture(scope="module")
def clean() -> Recorder:
    return declare(granted.STACK, granted.everything())


@pytest.fixture(scope="module")
def caught(clean: Recorder) -> dict[str, list[str]]:
    """The errors for each planted mistake."""
    return {
        what: planted.caught_by(mistake, clean) for what, mistake in planted.MISTAKES.items()
    }  # fmt: skip


def test_without_a_mistake_there_is_no_error(clean: Recorder) -> None:
    assert planted.caught_by(lambda declared: None, clean) == []


@pytest.mark.parametrize("mistake", planted.MISTAKES)
def test_a_planted_mistake_is_caught(caught: dict[str, list[str]], mistake: str) -> None:
    assert caught[mistake]


def test_each_rule_catches_a_mistake(
    caught: dict[str, list[str]],
) -> None:
    by = {fault.partition(":")[0] for faults in caught.values() for fault in faults}
    others = {"types", "calls", "Pulumi", "the recorder", "the SDK's classes"}
    assert len(caught) >= 40
    # Pulumi itself finds the mistake for `texts` first.
    assert by >= {rule.__name__ for rule in rules.RULES} - {"texts"} | others
    assert "the models of the stack file" in by
