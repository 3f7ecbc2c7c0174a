"""The problems that X responds with, in its own shapes and words."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from local.gateway.server import ErrorResponse, Response

PROBLEMS = "https://api.twitter.com/2/problems"


class Problem(ErrorResponse):
    """Raised where a call fails: the response is one of X's problems."""

    def __init__(self, response: Response) -> None:
        super().__init__(response, str(response.body))


def plain(status: int, title: str, detail: str, headers: Sequence[tuple[str, str]] = ()) -> Problem:
    """A problem of no type of its own."""
    body = {"title": title, "detail": detail, "type": "about:blank", "status": status}
    return Problem(Response.json(status, body, headers))


def unauthorized() -> Problem:
    """Credentials that are missing, wrong or used before."""
    return plain(401, "Unauthorized", "Unauthorized")


def app_only() -> Problem:
    """A bearer token for a call that needs a user."""
    body = {
        "title": "Unsupported Authentication",
        "detail": "Authenticating with OAuth 2.0 Application-Only is forbidden for this endpoint.  "
        "Supported authentication types are [OAuth 1.0a User Context, OAuth 2.0 User Context].",
        "type": f"{PROBLEMS}/unsupported-authentication",
        "status": 403,
    }
    return Problem(Response.json(403, body))


def duplicate() -> Problem:
    """A text that the user posted before."""
    detail = "You are not allowed to create a Tweet with duplicate content."
    return plain(403, "Forbidden", detail)


def suspended_poster() -> Problem:
    """A suspended user who posts."""
    detail = "Your account is suspended and is not permitted to access this feature."
    return plain(403, "Forbidden", detail)


def too_long() -> Problem:
    """A text above the length limit."""
    detail = (
        "Your Tweet text is too long. For more information on how Twitter determines text length "
        "see https://github.com/twitter/twitter-text."
    )
    return plain(400, "Invalid Request", detail)


def rate_headers(limit: int, remaining: int, reset: datetime) -> list[tuple[str, str]]:
    """The headers that state a rate limit; X writes `reset` in seconds since 1970."""
    return [
        ("x-rate-limit-limit", str(limit)),
        ("x-rate-limit-remaining", str(remaining)),
        ("x-rate-limit-reset", str(int(reset.timestamp()))),
    ]


def too_many(reset: datetime, limit: int) -> Problem:
    """A rate limit that is used up."""
    headers = rate_headers(limit, 0, reset)
    return plain(429, "Too Many Requests", "Too Many Requests", headers)


def unknown_path() -> Problem:
    """No such endpoint."""
    return plain(404, "Not Found", "Not Found")


def invalid(parameter: str, value: str, message: str) -> Problem:
    """A parameter that X rejects."""
    body = {
        "errors": [{"parameters": {parameter: [value]}, "message": message}],
        "title": "Invalid Request",
        "detail": "One or more parameters to your request was invalid.",
        "type": f"{PROBLEMS}/invalid-request",
    }
    return Problem(Response.json(400, body))


def _user_error(parameter: str, value: str, title: str, detail: str, kind: str) -> dict[str, Any]:
    error = {
        "value": value,
        "detail": f"{detail}: [{value}].",
        "title": title,
        "resource_type": "user",
        "parameter": parameter,
        "resource_id": value,
        "type": f"{PROBLEMS}/{kind}",
    }
    return {"errors": [error]}


# X sends the following three with status 200.
def no_such_user(parameter: str, value: str) -> dict[str, Any]:
    """No user of that `id` or `username`."""
    detail = f"Could not find user with {parameter}"
    return _user_error(parameter, value, "Not Found Error", detail, "resource-not-found")


def suspended(parameter: str, value: str) -> dict[str, Any]:
    """A suspended user who is asked for."""
    detail = "User has been suspended"
    return _user_error(parameter, value, "Forbidden", detail, "resource-not-found")


def protected(parameter: str, value: str) -> dict[str, Any]:
    """A user whose posts only followers may see."""
    detail = f"Sorry, you are not authorized to see the user with {parameter}"
    problem = _user_error(
        parameter, value, "Authorization Error", detail, "not-authorized-for-resource"
    )
    problem["errors"][0]["section"] = "data"
    return problem
