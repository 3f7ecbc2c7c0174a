"""Secret Manager's storage."""

import stat
from pathlib import Path

import pytest

from local.services.secretmanager.secrets import LIMIT, SecretError, Secrets


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    held = Secrets(tmp_path / "secrets")
    held.create("keys")
    return held


def test_the_latest_version_is_the_newest_and_older_ones_stay(secrets: Secrets) -> None:
    assert [secrets.add_version("keys", data) for data in (b"unset", b"\x00real")] == [1, 2]
    assert secrets.access("keys") == b"\x00real"
    assert secrets.access("keys", 1) == b"unset"
    assert secrets.resolve("keys") == 2


def test_a_number_is_never_given_twice(secrets: Secrets) -> None:
    secrets.add_version("keys", b"one")
    secrets.destroy_version("keys", 1)
    assert secrets.add_version("keys", b"two") == 2


def test_a_destroyed_version_is_gone_and_not_replaced_by_an_older_one(secrets: Secrets) -> None:
    secrets.add_version("keys", b"one")
    secrets.add_version("keys", b"two")
    secrets.destroy_version("keys", 2)
    with pytest.raises(SecretError, match="DESTROYED") as error:
        secrets.access("keys")
    assert (error.value.code, error.value.status) == (400, "FAILED_PRECONDITION")


def test_secrets_survive_a_restart(secrets: Secrets, tmp_path: Path) -> None:
    secrets.add_version("keys", b"one")
    assert Secrets(tmp_path / "secrets").access("keys") == b"one"


def test_only_the_owner_can_read_the_files(secrets: Secrets, tmp_path: Path) -> None:
    secrets.add_version("keys", b"one")
    files = list((tmp_path / "secrets").iterdir())
    assert [file.name for file in files] == ["keys"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_a_deleted_secret_is_gone_and_its_name_free(secrets: Secrets) -> None:
    secrets.add_version("keys", b"one")
    secrets.delete("keys")
    with pytest.raises(SecretError, match="not found"):
        secrets.access("keys")
    secrets.create("keys")
    with pytest.raises(SecretError, match="no version"):
        secrets.access("keys")


@pytest.mark.parametrize("name", ["", "../keys", "a b", "a" * 256])
def test_a_name_that_google_refuses_is_refused(secrets: Secrets, name: str) -> None:
    with pytest.raises(SecretError):
        secrets.create(name)
    with pytest.raises(SecretError):
        secrets.access(name)


def test_the_longest_name_is_kept(secrets: Secrets) -> None:
    secrets.create("a" * 255)
    secrets.add_version("a" * 255, b"one")
    assert secrets.access("a" * 255) == b"one"


def test_what_exists_is_not_created_twice(secrets: Secrets) -> None:
    with pytest.raises(SecretError, match="exists"):
        secrets.create("keys")


def test_a_version_over_the_limit_is_refused(secrets: Secrets) -> None:
    secrets.add_version("keys", b"x" * LIMIT)
    with pytest.raises(SecretError, match=str(LIMIT)):
        secrets.add_version("keys", b"x" * (LIMIT + 1))
