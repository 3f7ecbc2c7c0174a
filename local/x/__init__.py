"""X on this machine: the endpoints that the bots use, and a page that shows their timelines."""

from local.x.server import XServer
from local.x.state import Draft

__all__ = ["Draft", "XServer"]
