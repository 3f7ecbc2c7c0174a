"""A schedule that is dropped can be had back at any time, on the real engine."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.loop.deployment import Deployment

pytestmark = pytest.mark.deep


@pytest.fixture
def scheduled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment.of_a_copy(tmp_path_factory.mktemp("roles"))
    deployment.configure(lambda c: c["gpt2-bots:training"].update(schedule="0 2 * * 1"))
    try:
        yield deployment
    finally:
        deployment.end()


def without_a_schedule_for_ten_days(deployment: Deployment) -> None:
    deployment.up()
    deployment.configure(lambda c: c["gpt2-bots:training"].pop("schedule"))
    deployment.up()
    deployment.client.advance(deployment.cloud.now() + timedelta(days=10))
    deployment.configure(lambda c: c["gpt2-bots:training"].update(schedule="0 2 * * 1"))


def test_a_schedule_is_declared_again_after_ten_days_without(scheduled: Deployment) -> None:
    without_a_schedule_for_ten_days(scheduled)
    scheduled.up()
    scheduled.pulumi("destroy", "--yes", "--skip-preview")
    scheduled.client.advance(scheduled.cloud.now() + timedelta(days=10))
    scheduled.up()


def test_role_ids_that_are_always_the_same_would_be_refused(scheduled: Deployment) -> None:
    scheduled.edit("stacks/project.py", "naming.custom_role(stack, role, id_)", "f'x_{role[-7:]}'")
    without_a_schedule_for_ten_days(scheduled)
    assert "in a deleted state" in scheduled.up(ok=False)
