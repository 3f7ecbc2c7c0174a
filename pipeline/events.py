"""Values of `event` in log lines: programs write them, and alerts match them."""

from typing import Final

SILENT: Final = "silent"
"""Two ticks of a schedule have passed since an account's last success."""
IMAGE_STALE: Final = "image_stale"
"""For an hour, an account's `:live` has not been the image that its pointers ask for."""
MACHINE_LEFT: Final = "machine_left"
"""A run by hand has ended, or should have, and the stack file still names it."""
SPEND_LIMIT: Final = "spend_limit"
"""An account has reached its monthly limit; the line's `bucket` tells stacks apart."""
STOPPED: Final = "stopped"
"""Collecting an account has stopped until a person mends the cause, which the line says."""
