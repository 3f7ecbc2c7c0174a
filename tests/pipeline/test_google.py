"""Google's REST APIs as the programs ask them."""

from unittest import mock

import google.auth
import pytest
from google.auth.exceptions import DefaultCredentialsError

from pipeline import secrets
from pipeline.google import GoogleError, ask, refusal, session
from tests.google_api import Google

KEYS = "projects/p/secrets/keys"


@pytest.mark.parametrize("trouble", [429, 500, 503])
def test_a_passing_trouble_is_outlasted(api: Google, trouble: int) -> None:
    api.answers += [(trouble, {}), (trouble, {}), (200, {"payload": {"data": "c2VzYW1l"}})]
    assert secrets.latest(KEYS) == "sesame"


def test_what_may_be_done_already_is_sent_again_only_where_told(api: Google) -> None:
    api.answers += [(503, {}), (503, {}), (200, {})]
    with pytest.raises(GoogleError, match="takes no new version: 503"):
        secrets.add_version(KEYS, "sesame")
    with session(repeat_posts=True) as repeating:
        assert ask(repeating, "POST", "pubsub", "projects/p/topics/t:publish").ok
    assert not api.answers


def test_a_trouble_that_lasts_is_told_as_google_tells_it(api: Google) -> None:
    api.answers += [(503, {"error": {"message": "busy\nfor long"}})] * 4
    with session() as asking:
        assert refusal(ask(asking, "GET", "pubsub", "projects/p/topics/t")) == "503 busy for long"


def test_no_answer_is_one_line_without_what_was_sent(
    api: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody listens on the port for discarding.
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", "http://127.0.0.1:9")
    with pytest.raises(GoogleError, match="no good answer from secretmanager") as caught:
        secrets.add_version(KEYS, "sesame")
    assert "\n" not in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_without_credentials_it_says_what_to_run() -> None:
    with (
        mock.patch.object(google.auth, "default", side_effect=DefaultCredentialsError("none")),
        pytest.raises(GoogleError, match="gcloud auth application-default login"),
    ):
        session()
