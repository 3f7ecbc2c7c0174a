"""The address under which programs find Google Cloud: Cloud Storage, secrets, and who they are."""

from local.front.faults import Fault
from local.front.server import Front, Respond, Route
from local.front.storage import Finalized

__all__ = ["Fault", "Finalized", "Front", "Respond", "Route"]
