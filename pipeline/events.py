"""The `event` of a log line that an alert listens for: the word that both sides agree on."""

from typing import Final

SILENT: Final = "silent"
"""An account has had no success in twice the period of a schedule."""
IMAGE_STALE: Final = "image_stale"
"""An account's `:live` has not been what its pointers say for long."""
MACHINE_LEFT: Final = "machine_left"
"""A run by hand has ended, or should have, and its machines still stand in the stack file."""
SPEND_LIMIT: Final = "spend_limit"
"""The month's money of an account is spent; the line's `bucket` tells stacks apart."""
