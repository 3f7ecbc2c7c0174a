"""Secrets, as a program reads them from the local cloud's Secret Manager."""

import pytest
from google.oauth2.credentials import Credentials

from local.gateway import iam
from pipeline import secrets
from pipeline.errors import UserError
from tests.conftest import SecretManager
from tests.google_api import authenticate

KEYS = "projects/test/secrets/keys"


@pytest.fixture(autouse=True)
def program(secret_manager: SecretManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process as the program: google.auth looks for a metadata server only once."""
    token = secret_manager.gateway.token("program@test.iam.gserviceaccount.com")
    authenticate(monkeypatch, Credentials(token), "test")
    override = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER"
    monkeypatch.setenv(override, secret_manager.environment[override])


def test_the_newest_version_is_read(secret_manager: SecretManager) -> None:
    for value in ("first", "séance"):
        secret_manager.give("keys", value)
        assert secrets.latest(KEYS) == value


def test_a_secret_without_a_version_is_empty(secret_manager: SecretManager) -> None:
    assert secrets.latest(KEYS) == ""  # nor is there such a secret
    secret_manager.secrets.create("keys")
    assert secrets.latest(KEYS) == ""


def test_a_destroyed_version_is_empty_and_never_an_older_one(secret_manager: SecretManager) -> None:
    secret_manager.give("keys", "old")
    secret_manager.give("keys", "new")
    secret_manager.secrets.destroy_version("keys", 2)
    assert secrets.latest(KEYS) == ""


def test_a_missing_grant_is_an_error_that_names_secret_and_permission(
    secret_manager: SecretManager,
) -> None:
    secret_manager.give("keys", "sesame")
    secret_manager.grants.clear()
    with pytest.raises(UserError) as error:
        secrets.latest(KEYS)
    assert KEYS in str(error.value)
    assert "secretmanager.versions.access" in str(error.value)
    with pytest.raises(UserError, match=r"secretmanager\.versions\.add"):
        secrets.add_version(KEYS, "sesame")


def test_an_added_version_is_the_newest(secret_manager: SecretManager) -> None:
    (reader,) = secret_manager.grants
    adder = iam.Grant(reader.member, "roles/secretmanager.secretVersionAdder", reader.resource)
    secret_manager.grants.append(adder)
    with pytest.raises(UserError, match="deploy the stack first"):
        secrets.add_version(KEYS, "new")
    secret_manager.give("keys", "old")
    secrets.add_version(KEYS, "new")
    assert secrets.latest(KEYS) == "new"


def test_a_secret_that_is_no_text_is_an_error_that_does_not_show_it(
    secret_manager: SecretManager,
) -> None:
    secret_manager.secrets.create("keys")
    secret_manager.secrets.add_version("keys", b"sesame\xff")
    with pytest.raises(UserError, match="is not text") as error:
        secrets.latest(KEYS)
    assert "sesame" not in str(error.value)
