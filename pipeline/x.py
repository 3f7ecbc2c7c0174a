"""Calls X with tweepy and timeouts. Every failure becomes an XError of a known kind."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, cast
from urllib.parse import urlsplit, urlunsplit

import requests
import tweepy  # pyright: ignore[reportMissingTypeStubs]
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from pipeline.environment import variable
from pipeline.errors import PipelineError, Unavailable, UserError

Kind = Literal[
    "credentials",  # 401: the keys are wrong
    "credits",  # 402: X sells nothing until somebody pays
    "duplicate",  # 403: the account has posted this very text
    "forbidden",  # 403, or the user is protected or suspended
    "invalid",  # 400: the request itself; for a post, its text
    "rate",  # 429: passes by itself, when it `resets`
    "cap",  # 429: the cap of the month is used up
    "unavailable",  # 5xx, or no response: whether X did it is not known
    "not-found",  # no such user
    "nonsense",  # a response that cannot be used: whether X did it is not known
]

_HOST = "https://api.twitter.com"  # still tweepy's host
_TIMEOUT = (5, 30)  # seconds to connect, and between two bytes

# At DEBUG tweepy logs the Authorization header.
logging.getLogger("tweepy").setLevel(logging.INFO)


class XError(PipelineError):
    """X did not carry out a request; `kind` says why.

    It is always an XRefused or an XUnavailable.
    """

    def __init__(self, kind: Kind, message: str, resets: datetime | None = None) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.resets = resets

    @property
    def may_be_charged(self) -> bool:
        """Whether X may charge for what was read. It charges for what a response holds."""
        return self.kind == "nonsense" or isinstance(self, Unanswered)


class XRefused(XError, UserError):
    """X refuses the request, and will do so until a person has mended the cause."""


class XUnavailable(XError, Unavailable):
    """X may carry out the request later; `resets` is the time, if X says when."""


class Unanswered(XUnavailable):
    """No response came. X may have sent one."""


class NotSet(UserError):
    """Nobody has set the keys yet, or not in their form."""


class Keys(BaseModel):
    """The four keys with which one account posts."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    api_key: str = Field(min_length=1, repr=False)
    api_secret: str = Field(min_length=1, repr=False)
    access_token: str = Field(min_length=1, repr=False)
    access_token_secret: str = Field(min_length=1, repr=False)

    @property
    def user_id(self) -> str:
        """The user whose keys they are; X begins each access token with their id."""
        return self.access_token.partition("-")[0]

    @classmethod
    def parse(cls, text: str) -> "Keys":
        """Parse the keys from their JSON; NotSet, which shows no key, if one is missing."""
        required(text, "secret with the X keys", "bots credentials ACCOUNT")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            names = sorted({".".join(map(str, e["loc"])) or "JSON" for e in error.errors()})
            raise NotSet(
                f"the X keys have no valid {', '.join(names)}; "
                "set all four again with `bots credentials ACCOUNT`"
            ) from None


def required(secret: str, name: str, command: str) -> str:
    """A secret's value; NotSet, with the command that sets it, if it is empty."""
    value = secret.strip()
    if not value:
        raise NotSet(f"the {name} is not set; set it with `{command}`")
    return value


class _Wire(HTTPAdapter):
    """Gives every request a timeout, and in the local cloud another host.

    OAuth 1.0a has signed the request before this, with the real address.
    """

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        if options.get("timeout") is None:
            options["timeout"] = _TIMEOUT
        override = variable("X_API_URL")
        if override:
            host = urlsplit(override)
            url = urlsplit(request.url or "")
            request.url = urlunsplit((host.scheme, host.netloc, url.path, url.query, ""))
        return super().send(request, *args, **options)


def client(bearer: str) -> tweepy.Client:
    """The client that reads timelines, with the app's bearer token."""
    return _client(bearer_token=bearer)


def poster(keys: Keys) -> tweepy.Client:
    """The client that acts as one account: it posts, and reads the account's own timeline."""
    return _client(
        consumer_key=keys.api_key,
        consumer_secret=keys.api_secret,
        access_token=keys.access_token,
        access_token_secret=keys.access_token_secret,
    )


def _client(**credentials: Any) -> tweepy.Client:
    created = tweepy.Client(**credentials, return_type=dict)  # pyright: ignore[reportArgumentType]
    created.session.mount(_HOST, _Wire())
    return created


def ask(method: Callable[..., Any], *args: Any, **parameters: Any) -> dict[str, Any]:
    """Call a method of `client` or `poster` and return X's JSON, which holds `data` or `meta`.

    Raises:
        XError: X gave no response, or a refusal. A response of status 200 with errors and without
            data is a refusal: X reports missing, suspended and protected users in this way.
    """
    try:
        response = method(*args, **parameters)
    except Exception as error:
        raise translate(error) from error
    if not isinstance(response, dict):
        raise _nonsense("its JSON is not an object")
    body = cast("dict[str, Any]", response)
    if "data" in body:
        return body
    if body.get("errors"):
        raise _refused_user(body)
    if not isinstance(body.get("meta"), dict):
        raise _nonsense("it has neither data nor errors")
    return body


def translate(error: Exception) -> XError:
    """Turn an error of tweepy's into an XError; one that X cannot have caused is raised again."""
    if isinstance(error, tweepy.HTTPException):
        return _refused(cast("Any", error).response)
    if isinstance(error, requests.JSONDecodeError):
        return _nonsense("it is not JSON")
    if isinstance(error, requests.RequestException):
        kind = Unanswered if _was_sent(error) else XUnavailable
        return kind("unavailable", f"X does not answer ({type(error).__name__}); try again later")
    if isinstance(error, (ValueError, AttributeError, TypeError, KeyError)):
        # tweepy raises these over a body or a header that it did not expect.
        return _nonsense(f"{type(error).__name__} while reading it")
    raise error


def _was_sent(error: requests.RequestException) -> bool:
    """Whether the request may have reached X: there was a connection."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return not isinstance(reason, (NewConnectionError, ConnectTimeoutError))


def _refused(response: requests.Response) -> XError:
    status = response.status_code
    body = _body(response)
    message = _words(body) or response.reason
    if status == 401:
        return XRefused(
            "credentials",
            f"X refuses the keys (401: {message}); set them again with `bots credentials`",
        )
    if status == 402:
        return XRefused("credits", f"X's account has no credits (402: {message}); buy some in X's "
                      "developer portal")  # fmt: skip
    if status == 403:
        return _forbidden(body, message)
    if status == 404:
        return XRefused("not-found", f"X does not have what was asked for (404: {message})")
    if status == 429:
        return _too_many(response.headers, body, message)
    if status >= 500:
        why = f"X has an outage ({status}: {message}); try again later"
        return XUnavailable("unavailable", why)
    return XRefused("invalid", f"X refuses the request ({status}: {message})")


def _forbidden(body: dict[str, Any], message: str) -> XError:
    problem = str(body.get("type", "")).rpartition("/")[2]
    if "duplicate content" in message.lower():
        return XRefused("duplicate", f"X has a post with this text already (403: {message})")
    mend = {
        "client-forbidden": "attach the app to a project in X's developer portal",
        "oauth1-permissions": "give the app read and write permission in X's developer portal, "
        "make its access token anew and set it with `bots credentials`",
    }.get(problem, "check the account and the app at X")
    return XRefused("forbidden", f"X does not allow this (403: {message}); {mend}")


def _too_many(headers: Mapping[str, str], body: dict[str, Any], message: str) -> XError:
    if "usage-capped" in str(body.get("type")) or body.get("title") == "UsageCapExceeded":
        period = str(body.get("period", "month")).lower()
        return XRefused("cap", f"X's {period} cap is used up (429: {message}); raise it in X's "
                      "developer portal, or wait for the next period")  # fmt: skip
    resets = _reset(headers)
    when = f"at {resets:%F %H:%M:%S} UTC" if resets else "later"
    return XUnavailable(
        "rate", f"X has had too many requests (429: {message}); try again {when}", resets
    )


def _reset(headers: Mapping[str, str]) -> datetime | None:
    """When all used-up limits are reset; None if X does not say."""
    limits = ("x-rate-limit", "x-app-limit-24hour", "x-user-limit-24hour")
    used_up = [limit for limit in limits if headers.get(f"{limit}-remaining") == "0"]
    resets = [headers.get(f"{limit}-reset", "") for limit in used_up or limits[:1]]
    times = [int(reset) for reset in resets if re.fullmatch("[0-9]{1,11}", reset)]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def _refused_user(body: dict[str, Any]) -> XError:
    message = _words(body)
    problem = str(_first_error(body).get("type", ""))
    if "suspended" in message.lower():
        return XRefused("forbidden", f"X has suspended the account ({message})")
    if "not-authorized" in problem:
        return XRefused("forbidden", f"the account is protected: X does not show it ({message})")
    if "not-found" in problem:
        return XRefused("not-found", f"X has no such account ({message})")
    return XUnavailable("nonsense", f"X responded with an unknown error ({message})")


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _body(response: requests.Response) -> dict[str, Any]:
    try:
        return _object(json.loads(response.content))
    except ValueError:
        return {}


def _first_error(body: dict[str, Any]) -> dict[str, Any]:
    errors: Any = body.get("errors")
    return _object(errors[0]) if isinstance(errors, list) and errors else {}


def _words(body: dict[str, Any]) -> str:
    """X's message for people, on one line."""
    error = _first_error(body)
    message = error.get("message") or error.get("detail") or body.get("detail") or body.get("title")
    return " ".join(str(message or "").split())[:300]


def _nonsense(why: str) -> XError:
    return XUnavailable("nonsense", f"X's response makes no sense: {why}; try again later")
