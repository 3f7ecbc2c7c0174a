"""X's prices in US dollars, pay-per-use since 2026-02-06; read 2026-12.

X charges for each post or user that a response holds, and nothing for a failed request. It charges
once for a post that is read several times on one day.

Sources: https://docs.x.com/x-api/getting-started/pricing and
https://docs.x.com/x-api/fundamentals/post-cap
"""

from decimal import Decimal
from typing import Literal

POST_READ = Decimal("0.005")
"""One post of a timeline."""
OWNED_POST_READ = Decimal("0.001")
"""One post of a user's own timeline, read with that user's keys."""
USER_READ = Decimal("0.010")
"""One user that is looked up."""
POST_CREATE = Decimal("0.015")
"""One post."""
POST_WITH_LINK = Decimal("0.20")
"""One post whose text has a link, in total."""

MOST_POSTS = 3200
"""A timeline shows only this many posts, the newest. So no back-fill buys more."""


def post_read(read_with: Literal["bearer", "keys"]) -> Decimal:
    """The price of one post, read with the app's bearer token or with the user's own keys."""
    return {"bearer": POST_READ, "keys": OWNED_POST_READ}[read_with]
