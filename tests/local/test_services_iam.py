"""Custom roles: their ids outlive them, as Google's do."""

from datetime import timedelta

import pytest

from local.cloud import Cloud
from tests.local.declaring import CUSTOM_ROLE, Declarer, Refused


def declare(declarer: Declarer) -> None:
    declarer.declare(
        CUSTOM_ROLE, "starter", roleId="starter", title="t", permissions=["compute.instances.get"]
    )


def later(cloud: Cloud, **after: int) -> None:
    cloud.clock.advance_to(cloud.clock.now() + timedelta(**after))


@pytest.mark.parametrize("days", [0, 6, 38])
def test_a_deleted_role_can_be_created_again_within_a_week_and_after_37_days(
    cloud: Cloud, declarer: Declarer, days: int
) -> None:
    declare(declarer)
    declarer.remove(CUSTOM_ROLE, "starter")
    later(cloud, days=days)
    declare(declarer)


@pytest.mark.parametrize("days", [7, 10, 36])
def test_the_id_of_a_deleted_role_is_blocked_in_between(
    cloud: Cloud, declarer: Declarer, days: int
) -> None:
    declare(declarer)
    declarer.remove(CUSTOM_ROLE, "starter")
    later(cloud, days=days, minutes=1)
    with pytest.raises(Refused, match=rf"role_id \(starter\).* deleted {days} days ago"):
        declare(declarer)
    later(cloud, days=37)
    declare(declarer)
