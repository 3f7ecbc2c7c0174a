"""Errors in the shape of Google's JSON APIs."""

from local.gateway.server import ErrorResponse, Response


class HttpError(ErrorResponse):
    """Raised by a service: Google's clients turn its JSON into their exceptions."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        detail = {"message": message, "domain": "global", "reason": reason}
        error = {"code": code, "message": message, "errors": [detail]}
        super().__init__(Response.json(code, {"error": error}), message)
        self.code = code
