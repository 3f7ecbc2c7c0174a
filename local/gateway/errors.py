"""Errors in the shape of Google's JSON APIs."""

from local.gateway.server import ErrorResponse, Response


class HttpError(ErrorResponse):
    """Raised by a service: Google's clients turn its JSON into their exceptions.

    Newer APIs also give a `status`, the name of gRPC's code.
    """

    def __init__(self, code: int, reason: str, message: str, status: str = "") -> None:
        detail = {"message": message, "domain": "global", "reason": reason}
        error = {"code": code, "message": message, "errors": [detail]}
        named = {"status": status} if status else {}
        super().__init__(Response.json(code, {"error": {**error, **named}}), message)
        self.code = code
        self.status = status
