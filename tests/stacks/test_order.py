"""What each resource waits for, and which provider makes it, is what was reviewed."""

import logging

import pytest

from stacks import naming, stack_file
from tests import messages
from tests.stacks.environments import environment
from tests.stacks.recorder import declare, stack_values
from tests.stacks.test_config import ARCHIVE, change
from tests.stacks.test_messages import message


def test_what_a_resource_waits_for_is_what_was_reviewed() -> None:
    """The inventories have inputs; an input that is another resource's output is a need, too."""
    declared = declare("prod", environment("everything"))
    found = {
        f"{resource.type} {resource.name}": [
            resource.provider.partition("::")[0],
            *sorted(f"{kind.rpartition(':')[2]} {name}" for kind, name in resource.needs),
        ]
        for resource in declared.resources_of_programs
    }
    messages.check("needs", dict(sorted(found.items())))


def test_no_account_has_a_name_that_the_program_uses() -> None:
    assert set(naming.PROGRAMS) == {"app", "control", "scraper", "trainer", "watcher"}
    for name in ("app", "control", "scraper", "trainer", "watcher"):
        values = stack_values("dev")
        change(f"accounts.{name}", ARCHIVE)(values)
        said = message(stack_file.load, "dev", values)
        assert said.endswith(f"accounts.{name}: the program itself uses this name; choose another")


def test_what_is_logged_while_declaring_is_what_was_reviewed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    said: dict[str, list[str]] = {}
    for name, zones in {"one zone": ["a"], "two zones": ["b", "a"]}.items():
        values = stack_values("dev")
        values["gpt2-bots:training"] |= {
            "run": "first",
            "zones": [f"europe-west4-{zone}" for zone in zones],
        }
        caplog.clear()
        declare("dev", values)
        said[name] = [record.getMessage() for record in caplog.records]
    messages.check("declaring", said)


def test_a_budget_tells_no_more_channels_than_it_takes() -> None:
    values = environment("everything")
    emails = [f"operator{number}@example.com" for number in range(7)]
    values["gpt2-bots:monitoring"] |= {"emails": emails}
    (budget,) = declare("prod", values).of("gcp:billing/budget:Budget")
    assert len(budget.inputs["allUpdatesRule"]["monitoringNotificationChannels"]) == 5
