"""Google's REST APIs as the programs ask them."""

from typing import Any
from unittest import mock

import google.auth
import pytest
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage

from pipeline import secrets
from pipeline.errors import Unavailable, UserError
from pipeline.google import ask, refused, session
from pipeline.store import Store
from tests.google_api import Google

KEYS = "projects/p/secrets/keys"


@pytest.mark.parametrize("trouble", [429, 500, 503])
def test_a_request_is_repeated_while_the_api_is_busy(api: Google, trouble: int) -> None:
    api.answers += [(trouble, {}), (trouble, {}), (200, {"payload": {"data": "c2VzYW1l"}})]
    assert secrets.latest(KEYS) == "sesame"


def test_a_post_request_is_repeated_only_on_demand(api: Google) -> None:
    api.answers += [(503, {}), (503, {}), (200, {})]
    with pytest.raises(Unavailable, match="cannot get a new version: 503"):
        secrets.add_version(KEYS, "sesame")
    with session(repeat_posts=True) as repeating:
        assert ask(repeating, "POST", "pubsub", "projects/p/topics/t:publish").ok
    assert not api.answers


def test_a_refusal_has_googles_reason_on_one_line(api: Google) -> None:
    api.answers += [(503, {"error": {"message": "busy\nfor long"}})] * 4
    with session() as asking:
        response = ask(asking, "GET", "pubsub", "projects/p/topics/t")
    assert str(refused(response, "topic t is stuck")) == "topic t is stuck: 503 busy for long"


def test_no_response_is_one_line_that_does_not_show_the_request(
    api: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody listens on the port for discarding.
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="no response from secretmanager") as caught:
        secrets.add_version(KEYS, "sesame")
    assert "\n" not in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_without_credentials_the_error_has_the_command_to_run() -> None:
    with (
        mock.patch.object(google.auth, "default", side_effect=DefaultCredentialsError("none")),
        pytest.raises(UserError, match="gcloud auth application-default login"),
    ):
        session()


class Refusing(Credentials):
    """An identity that gets no access token."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def refresh(self, request: object) -> None:
        raise self._error


def metadata_outage() -> RefreshError:
    """What a machine's identity raises while its metadata server does not answer."""
    error = RefreshError("the metadata server does not answer")
    error.__cause__ = TransportError("no response")
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RefreshError("invalid_grant: Token has been expired or revoked."), UserError),
        (RefreshError("Reauthentication is needed."), UserError),
        (RefreshError("internal_failure", retryable=True), Unavailable),
        (metadata_outage(), Unavailable),
    ],
)
def test_only_a_login_that_has_expired_is_for_a_person_to_renew(
    error: RefreshError, kind: type[Exception]
) -> None:
    credentials = Refusing(error)
    client: Any = storage.Client("p", credentials=credentials)
    with pytest.raises((UserError, Unavailable)) as asked:
        ask(AuthorizedSession(credentials), "GET", "pubsub", "projects/p/topics/t")
    with pytest.raises((UserError, Unavailable)) as read:
        Store(client.bucket("b"), timeout=1).read("object")
    for caught in (asked, read):
        assert caught.type is kind
        assert ("gcloud auth application-default login" in str(caught.value)) == (kind is UserError)
