"""Recorded responses of X, and those of its stand-in to the same requests."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import requests
from requests_oauthlib import OAuth1

from local.x.auth import HOST
from tests.local.faults import FaultyX, Kind

CONTRACTS = {"local/x/api.py": "recorded responses of X"}

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
# What tells clients apart; all else is data.
WORDS = ("detail", "message", "parameter", "reason", "resource_type", "section", "title", "type")


class X:
    """The stand-in, with a user of every kind."""

    def __init__(self, folder: Path) -> None:
        self.server = FaultyX(folder, lambda: NOW, wall_clock=lambda: datetime.now(UTC))
        self.server.start()
        tweets = [(f"tweet {n}", NOW - timedelta(hours=n + 1)) for n in range(20)]
        self.server.add_user("keeper", tweets)
        self.server.add_user("hidden", protected=True)
        self.ids = {handle: self.get(f"users/by/username/{handle}").json()["data"]["id"]
                    for handle in ("keeper", "hidden")}  # fmt: skip
        self.keys = self.server.issue_keys("keeper")

    def get(self, path: str, bearer: str | None = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {bearer or self.server.bearer()}"}
        return requests.get(f"{self.server.url}/2/{path}", headers=headers, timeout=10)

    def timeline(self, handle: str) -> requests.Response:
        return self.get(f"users/{self.ids[handle]}/tweets?max_results=5")

    def post(self, text: str, **changed: str) -> requests.Response:
        keys = {**self.keys, **changed}
        auth = OAuth1(
            keys["api_key"], keys["api_secret"], keys["access_token"], keys["access_token_secret"]
        )
        request = requests.Request(
            "POST", f"{HOST}/2/tweets", json={"text": text}, auth=auth
        ).prepare()
        request.url = f"{self.server.url}/2/tweets"  # signed for X, as the programs do
        with requests.Session() as session:
            return session.send(request, timeout=10)

    def twice(self) -> requests.Response:
        self.post("once")
        return self.post("once")

    def suspended(self) -> requests.Response:
        self.server.add_user("keeper", suspended=True)
        return self.post("hello")

    def suspended_timeline(self) -> requests.Response:
        self.server.add_user("keeper", suspended=True)
        return self.timeline("keeper")

    def suspended_user(self) -> requests.Response:
        self.server.add_user("keeper", suspended=True)
        return self.get("users/by/username/keeper")

    def failing(self, kind: Kind) -> requests.Response:
        self.server.fail_next(kind)
        return self.timeline("keeper")


@pytest.fixture
def x(tmp_path: Path) -> Iterator[X]:
    x = X(tmp_path)
    yield x
    x.server.stop()


RESPONSES: dict[str, Callable[[X], requests.Response]] = {
    "01-user-by-username-ok": lambda x: x.get("users/by/username/keeper"),
    "02-users-tweets-page1-recorded": lambda x: x.timeline("keeper"),
    "20-user-not-found-200": lambda x: x.get("users/by/username/nobody"),
    "21-user-suspended-200": X.suspended_user,
    "22-timeline-protected-200": lambda x: x.timeline("hidden"),
    "23-timeline-suspended-200": X.suspended_timeline,
    "25-bad-username-400": lambda x: x.get("users/by/username/much-too-long-for-one"),
    "30-unauthorized-401": lambda x: x.get("users/by/username/keeper", "made-up"),
    "31-unauthorized-post-401": lambda x: x.post("hello", access_token="1-made-up"),
    "34-duplicate-403": X.twice,
    "35-not-permitted-403": lambda x: x.failing("403"),
    "36-text-too-long-400": lambda x: x.post("x" * 281),
    "37-suspended-poster-403": X.suspended,
    "40-credits-depleted-402": lambda x: x.failing("402"),
    "42-rate-limit-429-with-reset": lambda x: x.failing("429"),
    "50-503-json": lambda x: x.failing("503"),
    "44-usage-cap-429": lambda x: x.failing("usage-cap"),
    "60-create-tweet-doc": lambda x: x.post("hello"),
}


def form(status: int, headers: Mapping[str, str], body: Any) -> tuple[Any, ...]:
    """What a client goes by: status, media type, limits, and the form and words of the body."""
    lowered = {key.lower() for key in headers}
    kind = next((v for k, v in headers.items() if k.lower() == "content-type"), "application/json")
    limits = lowered & {"x-rate-limit-reset"} if status == 429 else set[str]()
    return status, kind.split(";")[0].replace("problem+", ""), sorted(limits), form_of(body)


def form_of(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {k: form_of(v, k) for k, v in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return form_of(value[0], name), "…"
    if isinstance(value, str) and name in WORDS:
        return re.sub(r"\[[^]]*\](?!\{)", "[…]", value)
    return type(value).__name__


@pytest.mark.parametrize("recorded", RESPONSES)
def test_the_stand_in_responds_as_x_was_recorded(x: X, shared_data: Path, recorded: str) -> None:
    given = json.loads((shared_data / "x-api" / f"{recorded}.json").read_text())
    response = RESPONSES[recorded](x)
    assert form(response.status_code, response.headers, response.json()) == form(
        given["status"], given["headers"], given["body"]
    )


# Recorded before posts could be edited, with fewer metrics than today.
@pytest.mark.parametrize(
    ("recorded", "fields"),
    [
        ("05-timeline-shapes-recorded", ""),
        ("06-users-tweets-with-fields", "&tweet.fields=created_at,public_metrics"),
    ],
)
def test_the_stand_in_says_of_a_post_all_that_x_said(
    x: X, shared_data: Path, recorded: str, fields: str
) -> None:
    given = json.loads((shared_data / "x-api" / f"{recorded}.json").read_text())["body"]
    response = x.get(f"users/{x.ids['keeper']}/tweets?max_results=5{fields}").json()
    assert response["meta"].keys() == given["meta"].keys()
    assert len(given["data"]) == len(response["data"]) == 5
    for post, theirs in zip(response["data"], given["data"], strict=True):
        assert is_within(form_of(theirs), form_of(post))


def is_within(less: Any, more: Any) -> bool:
    """Whether a form has everything that another one has."""
    if isinstance(less, dict) and isinstance(more, dict):
        pairs = cast("dict[str, Any]", less), cast("dict[str, Any]", more)
        return all(key in pairs[1] and is_within(pairs[0][key], pairs[1][key]) for key in pairs[0])
    return less == more


def test_x_s_example_of_an_edited_post_has_the_form_of_the_stand_in_s(x: X) -> None:
    """The example of https://docs.x.com/x-api/fundamentals/edit-posts."""
    example = {
        "id": "1234567891",
        "text": "Updated text (edited)",
        "edit_history_tweet_ids": ["1234567890", "1234567891"],
        "edit_controls": {
            "is_edit_eligible": True,
            "editable_until": "2024-01-15T12:30:00.000Z",
            "edits_remaining": 3,
        },
    }
    x.server.edit("keeper", x.post("hello").json()["data"]["id"], "hello again")
    path = f"users/{x.ids['keeper']}/tweets?tweet.fields=edit_controls"
    edited = x.get(path).json()["data"][0]
    assert form_of(edited) == form_of(example)
    assert len(edited["edit_history_tweet_ids"]) == 2
