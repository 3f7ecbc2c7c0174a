"""X on this machine: the endpoints that the bots use, and a page that shows their timelines."""

from local.x.server import XServer

__all__ = ["XServer"]
