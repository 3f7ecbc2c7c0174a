"""The problems that X responds with, in its own shapes and words."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from local.gateway.server import ErrorResponse, Response

_PROBLEMS = "https://api.twitter.com/2/problems"


class Problem(ErrorResponse):
    """Raised where a call fails: the response is one of X's problems."""

    def __init__(self, response: Response) -> None:
        super().__init__(response, str(response.body))


def _plain(
    status: int, title: str, detail: str, headers: Sequence[tuple[str, str]] = ()
) -> Problem:
    body = {"title": title, "detail": detail, "type": "about:blank", "status": status}
    return Problem(Response.json(status, body, headers))


def unauthorized() -> Problem:
    """Credentials that are missing, wrong or used before."""
    return _plain(401, "Unauthorized", "Unauthorized")


def app_only() -> Problem:
    """A bearer token for a call that needs a user."""
    body = {
        "title": "Unsupported Authentication",
        "detail": "Authenticating with OAuth 2.0 Application-Only is forbidden for this endpoint.  "
        "Supported authentication types are [OAuth 1.0a User Context, OAuth 2.0 User Context].",
        "type": f"{_PROBLEMS}/unsupported-authentication",
        "status": 403,
    }
    return Problem(Response.json(403, body))


def credits_depleted() -> Problem:
    """No money on the account."""
    body = {
        "title": "CreditsDepleted",
        "detail": "Your enrolled account [1900000000000000001] does not have any credits to "
        "fulfill this request.",
        "type": f"{_PROBLEMS}/credits",
    }
    return Problem(Response.json(402, body))


def duplicate() -> Problem:
    """A text that the user posted before."""
    detail = "You are not allowed to create a Tweet with duplicate content."
    return _plain(403, "Forbidden", detail)


def suspended_poster() -> Problem:
    """A suspended user who posts."""
    detail = "Your account is suspended and is not permitted to access this feature."
    return _plain(403, "Forbidden", detail)


def not_permitted() -> Problem:
    """A refusal without a reason."""
    return _plain(403, "Forbidden", "You are not permitted to perform this action.")


def too_long() -> Problem:
    """A text above the length limit."""
    detail = (
        "Your Tweet text is too long. For more information on how Twitter determines text length "
        "see https://github.com/twitter/twitter-text."
    )
    return _plain(400, "Invalid Request", detail)


def rate_headers(limit: int, remaining: int, reset: datetime) -> list[tuple[str, str]]:
    """The headers that state a rate limit; X writes `reset` in seconds since 1970."""
    return [
        ("x-rate-limit-limit", str(limit)),
        ("x-rate-limit-remaining", str(remaining)),
        ("x-rate-limit-reset", str(int(reset.timestamp()))),
    ]


def too_many(reset: datetime | None, limit: int = 900) -> Problem:
    """A rate limit that is used up; X sometimes leaves out the time of the reset."""
    headers = rate_headers(limit, 0, reset) if reset else []
    return _plain(429, "Too Many Requests", "Too Many Requests", headers)


def usage_capped(reset: datetime) -> Problem:
    """The monthly usage cap, which has the status of a rate limit but is none."""
    body = {
        "account_id": "1900000000000000001",
        "product_name": "standard-basic",
        "title": "UsageCapExceeded",
        "period": "Monthly",
        "scope": "Product",
        "detail": "Usage cap exceeded: Monthly product cap",
        "type": f"{_PROBLEMS}/usage-capped",
    }
    header = ("x-rate-limit-reset", str(int(reset.timestamp())))
    return Problem(Response.json(429, body, [header]))


def internal() -> Problem:
    """An internal error of X."""
    return _plain(500, "Internal Server Error", "Internal Server Error")


def unknown_path() -> Problem:
    """No such endpoint."""
    return _plain(404, "Not Found", "Not Found")


def invalid(parameter: str, value: str, message: str) -> Problem:
    """A parameter that X rejects."""
    body = {
        "errors": [{"parameters": {parameter: [value]}, "message": message}],
        "title": "Invalid Request",
        "detail": "One or more parameters to your request was invalid.",
        "type": f"{_PROBLEMS}/invalid-request",
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
        "type": f"{_PROBLEMS}/{kind}",
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
