"""All that is declared keeps the rules, in every environment; a planted mistake breaks one."""

import pytest

from tests.stacks import granted, planted, rules
from tests.stacks.environments import ENVIRONMENTS, environment, stack_of
from tests.stacks.recorder import Recorder, declare


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_input_is_of_its_type_and_every_rule_holds(name: str) -> None:
    declared = declare(stack_of(name), environment(name))
    assert declared.providers_resources
    assert rules.faults(declared) == []


@pytest.fixture(scope="module")
def clean() -> Recorder:
    return declare(granted.STACK, granted.everything())


def test_without_a_mistake_nothing_is_caught(clean: Recorder) -> None:
    assert planted.caught_by(lambda declared: None, clean) == []


@pytest.mark.parametrize("mistake", planted.MISTAKES)
def test_a_planted_mistake_is_caught(clean: Recorder, mistake: str) -> None:
    assert planted.caught_by(planted.MISTAKES[mistake], clean)


def test_there_are_mistakes_of_all_sorts_and_each_rule_catches_one(clean: Recorder) -> None:
    caught = {
        fault.partition(":")[0]
        for mistake in planted.MISTAKES.values()
        for fault in planted.caught_by(mistake, clean)
    }
    named = {rule.__name__ for rule in rules.RULES if rule is not rules.texts}
    others = {"types", "calls", "Pulumi", "the recorder", "the SDK's classes"}
    assert len(planted.MISTAKES) >= 40
    assert caught >= named | others | {"the models of the stack file"}
