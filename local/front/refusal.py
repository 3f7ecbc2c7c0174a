"""An answer other than success, raised where it is known and sent where the connection is."""

import json


class Refused(Exception):
    """A call answered with an error, in the shape of Google's JSON APIs."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason

    def body(self) -> bytes:
        """The JSON that the client reads its exception from."""
        detail = {"message": str(self), "domain": "global", "reason": self.reason}
        error = {"code": self.code, "message": str(self), "errors": [detail]}
        return json.dumps({"error": error}).encode()
