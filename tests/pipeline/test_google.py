"""Google's REST APIs as the programs ask them."""

from unittest import mock

import google.auth
import pytest
from google.auth.exceptions import DefaultCredentialsError

from pipeline import secrets
from pipeline.errors import Unavailable, UserError
from pipeline.google import ask, refused, session
from tests.google_api import Google

KEYS = "projects/p/secrets/keys"


@pytest.mark.parametrize("trouble", [429, 500, 503])
def test_a_request_is_repeated_while_the_api_is_busy(api: Google, trouble: int) -> None:
    api.answers += [(trouble, {}), (trouble, {}), (200, {"payload": {"data": "c2VzYW1l"}})]
    assert secrets.latest(KEYS) == "sesame"


def test_a_post_request_is_repeated_only_on_demand(api: Google) -> None:
    api.answers += [(503, {}), (503, {}), (200, {})]
    with pytest.raises(Unavailable, match="takes no new version: 503"):
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
