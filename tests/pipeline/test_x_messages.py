"""Every refusal of X's is one reviewed line, with its kind and whether a person can mend it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import tweepy

from pipeline import x
from pipeline.errors import PipelineError, UserError
from pipeline.x import Keys, XError
from tests import messages

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEYS = {"api_key": "a", "api_secret": "b", "access_token": "c", "access_token_secret": "d"}
RESETS = {"x-rate-limit-remaining": "0", "x-rate-limit-reset": str(int(NOW.timestamp()) + 90)}


def problem(name: str) -> str:
    return f"https://api.twitter.com/2/problems/{name}"


REFUSALS: dict[str, tuple[int, Any, dict[str, str]]] = {
    "wrong keys": (401, {"detail": "Unauthorized"}, {}),
    "no credits": (402, {"title": "CreditsDepleted"}, {}),
    "a duplicate": (403, {"detail": "a Tweet with Duplicate Content."}, {}),
    "no project": (403, {"detail": "no", "type": problem("client-forbidden")}, {}),
    "read-only keys": (403, {"detail": "no", "type": problem("oauth1-permissions")}, {}),
    "forbidden": (403, {"detail": "no"}, {}),
    "unknown address": (404, {"title": "Not Found"}, {}),
    "too often": (429, {"title": "Too Many Requests"}, RESETS),
    "too often, until nobody knows": (429, {"title": "Too Many Requests"}, {}),
    "too often, until a past time": (429, {}, RESETS | {"x-rate-limit-reset": "7"}),
    "the cap by its type": (429, {"type": problem("usage-capped"), "detail": "much"}, {}),
    "the cap by its title": (429, {"title": "UsageCapExceeded", "period": "Daily"}, {}),
    "out of order": (503, {}, {}),
    "the last status that is no outage": (499, {}, {}),
    "the first status that is one": (500, {}, {}),
    "an error in several lines": (400, {"errors": [{"message": "one\n  two"}]}, {}),
    "an error with a detail": (400, {"errors": [{"detail": "a detail"}], "detail": "x"}, {}),
    "a long error": (400, {"detail": "x" * 400}, {}),
    "no JSON": (400, b"<html>", {}),
    "a body that is no object": (400, [1], {}),
    "errors that are no list": (400, {"errors": {"message": "m"}, "title": "t"}, {}),
    "an error that is no object": (400, {"errors": ["m"], "detail": "d", "title": "t"}, {}),
}
ANSWERS: dict[str, Any] = {
    "a suspended user": {"errors": [{"detail": "User has been suspended: [x]."}]},
    "a protected user": {"errors": [{"detail": "no", "type": problem("not-authorized-for-x")}]},
    "an unknown user": {"errors": [{"detail": "no", "type": problem("resource-not-found")}]},
    "an unknown error": {"errors": [{"detail": "odd"}]},
    "no object": [1],
    "neither data nor errors": {"meta": 1},
    "no errors": {"errors": []},
}
EXCEPTIONS: dict[str, Exception] = {
    "no connection": requests.ConnectionError("secret address"),
    "no JSON at all": requests.JSONDecodeError("no", "", 0),
    "an odd header": ValueError("no"),
    "an odd attribute": AttributeError("no"),
    "an odd type": TypeError("no"),
    "a missing key": KeyError("no"),
}


def refusal(status: int, body: Any, headers: dict[str, str]) -> XError:
    response = requests.Response()
    response.status_code, response.reason = status, "the reason"
    response._content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response.headers.update(headers)
    return x.translate(tweepy.HTTPException(response, response_json={}))


def raised(call: Callable[..., Any], *given: Any) -> PipelineError:
    with pytest.raises(PipelineError) as error:
        call(*given)
    return error.value


def described(error: XError) -> str:
    assert "\n" not in str(error)
    mend = "a person" if isinstance(error, UserError) else "time"
    return f"{error.kind}, {mend} mends it, at {error.resets}: {error}"


def test_each_refusal_has_its_reviewed_line() -> None:
    said = {name: described(refusal(*given)) for name, given in REFUSALS.items()}
    for name, answer in ANSWERS.items():
        error = raised(x.ask, lambda answer=answer: answer)
        assert isinstance(error, XError)
        said[name] = described(error)
    for name, exception in EXCEPTIONS.items():
        said[name] = described(x.translate(exception))
    messages.check("x", said)


def test_keys_that_are_missing_or_wrong_have_their_reviewed_line() -> None:
    given = {
        "nothing": " ",
        "no JSON": "{",
        "one empty": json.dumps(KEYS | {"api_key": " "}),
        "two missing": json.dumps({"access_token": "c", "access_token_secret": "d"}),
        "one too many": json.dumps(KEYS | {"bearer": "e"}),
    }
    messages.check("x-keys", {name: str(raised(Keys.parse, text)) for name, text in given.items()})


@pytest.mark.parametrize("key", KEYS)
def test_no_key_may_be_empty_and_each_may_have_spaces_around_it(key: str) -> None:
    assert key in str(raised(Keys.parse, json.dumps(KEYS | {key: ""})))
    assert Keys.parse(json.dumps(KEYS | {key: f" {KEYS[key]}\n"})) == Keys(**KEYS)


@pytest.mark.parametrize("name", ["x-rate-limit", "x-app-limit-24hour", "x-user-limit-24hour"])
def test_each_limit_that_is_used_up_is_waited_for(name: str) -> None:
    reset = str(int(NOW.timestamp()) + 700)
    headers = RESETS | {f"{name}-remaining": "0", f"{name}-reset": reset}
    seconds = 700 if name == "x-rate-limit" else 90
    for remaining, wait in (("0", 700), ("1", seconds)):
        error = refusal(429, {}, headers | {f"{name}-remaining": remaining})
        assert error.resets == NOW + timedelta(seconds=wait)


def test_a_client_returns_what_x_sent_without_a_wrapper() -> None:
    for client in (x.client("bearer"), x.poster(Keys(**KEYS))):
        assert client.return_type is dict
        assert not client.wait_on_rate_limit
