"""Whose archive it is: every layout says it, and what is said on the command line must agree."""

from pathlib import Path
from typing import Any

import pytest

from pipeline import archive
from pipeline.errors import UserError
from pipeline.index import Owner
from tests.pipeline.archives import ACCOUNT, KEEPER, entry, js, manifest, read, tweets_js

TWEETS = {"data/tweets.js": tweets_js(entry(1, "mine"))}


def listed(**user: str) -> dict[str, str]:
    return {"data/manifest.js": manifest(user, tweets=1)}


def account(**user: str) -> dict[str, str]:
    return {"data/account.js": js("YTD.account.part0", [{"account": user}])}


@pytest.mark.parametrize(
    "files",
    [
        listed(accountId="77", userName="keeper"),
        account(accountId="77", username="keeper"),
        {"data/js/user_details.js": 'var user_details = {"id": 77, "screen_name": "keeper"}'},
        {
            **listed(userName="Keeper"),
            **account(username="keeper", accountId="77", email="keeper@example.invalid"),
        },
    ],
    ids=["manifest", "account", "2013", "the id in another file"],
)
def test_the_archive_says_whose_it_is(tmp_path: Path, files: dict[str, str]) -> None:
    assert read(tmp_path, TWEETS | files, owner=None).owner == KEEPER


def test_an_archive_that_does_not_say_whose_it_is_needs_an_owner(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing in mine\.zip says whose .* `--owner HANDLE`"):
        read(tmp_path, TWEETS, owner=None)
    assert read(tmp_path, TWEETS, owner=Owner(None, "keeper")).owner == Owner(None, "keeper")


def test_an_archive_of_somebody_else_is_refused_whoever_they_are_said_to_be(
    tmp_path: Path, shared_data: Path
) -> None:
    for owner in (Owner("78", "keeper"), Owner(None, "baker")):
        with pytest.raises(
            UserError, match=r"account\.js names @keeper \(user id 77\), and `--own"
        ):
            read(tmp_path, TWEETS | {"data/account.js": ACCOUNT}, owner=owner)
    case = shared_data.parent / "cases/tweets/no-manifest-wrong-owner.zip"
    with pytest.raises(
        UserError, match=r"names @somebody_else \(user id 77\), and `--owner` names @ke"
    ):
        archive.read([case], Owner(None, "keeper"))
    assert archive.read([case]).owner == Owner("77", "somebody_else")


def test_who_changed_their_handle_is_known_by_their_id(tmp_path: Path) -> None:
    found = read(tmp_path, TWEETS | {"data/account.js": ACCOUNT}, owner=Owner("77", "lampkeeper"))
    assert found.owner == Owner("77", "lampkeeper")


def test_files_of_two_people_are_no_archive(tmp_path: Path) -> None:
    files = listed(accountId="78", userName="keeper") | account(accountId="77", username="keeper")
    with pytest.raises(
        UserError, match=r"names @keeper \(user id 77\).*names @keeper \(user id 78\)"
    ):
        read(tmp_path, dict(reversed((TWEETS | files).items())))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("manifest", 7),
        ("manifest", {}),
        ("manifest", {"userInfo": {}}),
        ("manifest", {"userInfo": {"userName": "keeper"}}),
        ("manifest", {"userInfo": {"userName": "keeper"}, "dataTypes": {"t": {"files": [7]}}}),
        ("manifest", {"userInfo": {"userName": 7, "accountId": "1"}, "dataTypes": {}}),
        ("manifest", {"userInfo": {"userName": "keeper", "accountId": "one"}, "dataTypes": {}}),
        ("account", []),
        ("account", [{"account": {"accountId": "77"}}]),
        ("account", {}),
        ("account", [{"account": {"username": "two\nlines", "accountId": "77"}}]),
    ],
)
def test_a_file_that_should_say_it_and_does_not_is_refused(
    tmp_path: Path, name: str, value: Any
) -> None:
    with pytest.raises(UserError, match=rf"data/{name}\.js (does not say whose|is damaged)") as e:
        read(tmp_path, TWEETS | {f"data/{name}.js": js("x", value)})
    assert "\n" not in str(e.value)


def test_nothing_private_of_the_account_is_in_an_error(tmp_path: Path) -> None:
    files = TWEETS | account(email="keeper@example.invalid", accountId="x", username="keeper")
    with pytest.raises(UserError) as refused:
        read(tmp_path, files)
    assert "example" not in str(refused.value)
