"""An X account whose monthly or daily cap is used up."""

import json
from typing import Any

import pytest
import requests
import tweepy

from pipeline import x


def too_many(body: dict[str, Any]) -> tweepy.TooManyRequests:
    response = requests.Response()
    response.status_code, response.reason = 429, "Too Many Requests"
    response._content = json.dumps(body).encode()
    return tweepy.TooManyRequests(response)


@pytest.mark.parametrize(
    ("body", "period"),
    [
        ({"title": "UsageCapExceeded", "period": "Daily"}, "daily"),
        ({"type": "https://api.twitter.com/2/problems/usage-capped"}, "month"),
    ],
)
def test_a_used_up_cap_is_told_with_its_period_and_what_to_do(
    body: dict[str, Any], period: str
) -> None:
    error = x.translate(too_many(body))
    assert error.kind == "cap"
    assert f"X's {period} cap is used up" in str(error)
    assert "developer portal" in str(error)
