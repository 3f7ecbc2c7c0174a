"""Every command acts on what was asked for and prints what was reviewed, on buckets in memory."""

# pyright: reportPrivateUsage=false

import argparse
import contextlib
import getpass
import io
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeGuard

import pytest
import requests

import bots.__main__ as program
from bots import base, cloud, credentials
from demo.samples import archive
from pipeline import layout, release, secrets, slots
from pipeline.errors import UserError
from pipeline.prices import POST_CREATE, POST_READ
from pipeline.slots import Slot
from pipeline.spend import Ledger
from pipeline.store import Store
from pipeline.tweets import to_jsonl
from stacks.config import Stack
from tests import messages
from tests.pipeline.archives import entry, manifest, tweets_js, zipped
from tests.pipeline.test_tweets import tweet
from tests.trainer.steps import Bucket, Steps
from tests.trainer.test_release import a_manifest, put

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
STACK_FILE = """\
config:
  gcp:project: some-bots
  gcp:region: europe-west4
  gpt2-bots:accounts:
    keeper:
      {handle: lampkeeper, source: archive, consent: made up, post: "0 9 * * *", serve: {}}
    baker:
      handle: grumpybaker
      source: timeline
      x_terms_acknowledged: true
      consent: made up
      collect: "15 5 * * *"
      time_zone: Europe/Paris
      project: more-bots
"""
BAKER = 'window.YTD.account.part0 = [{"account": {"username": "grumpybaker", "accountId": "5"}}]'
ODD = [
    entry(11, "RT @a: fog.", NOW),
    entry(12, "Fog again.", NOW, in_reply_to_user_id_str="77"),
    entry(13, "@a Fog.", NOW, in_reply_to_user_id_str="5"),
    entry(14, "Fog.", NOW, quoted_status_id_str="5"),
    entry(15, "Fog.", NOW, edit_info=7),
    entry(16, "Fog.", NOW, created_at="noon"),
]
KEYS = {"api_key": "a", "api_secret": "b", "access_token": "c", "access_token_secret": "d"}
OLD, NEW = "20261121T120000Z-01234567", "20261122T120000Z-01234567"


class NamedStore(Steps):
    def __init__(self, name: str) -> None:
        super().__init__(Bucket())
        self._named = name

    @property
    def bucket_name(self) -> str:
        return self._named


class Cloud(cloud.Cloud):
    """Google Cloud with buckets in memory, and the versions that were added to secrets."""

    stores: dict[str, Store]
    versions: list[tuple[str, str]]

    def parts(self) -> list[cloud.Cloud]:
        return [Cloud(part) for part in self.stack.by_project()]

    def of(self, account: str) -> cloud.Cloud:
        return next(part for part in self.parts() if account in part.stack.accounts)

    def now(self) -> datetime:
        return NOW

    @property
    def data(self) -> Store:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.stores[layout.data_bucket(self.stack.project, self.stack.name)]

    @property
    def models(self) -> Store:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.stores[layout.models_bucket(self.stack.project, self.stack.name)]


Run = Callable[..., str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the stack file of `test`; nothing is asked for over the network."""

    def add_version(secret: str, value: str) -> None:
        Cloud.versions.append((secret, value))

    Cloud.stores = {
        name: NamedStore(name)
        for project in ("some-bots", "more-bots")
        for name in (layout.data_bucket(project, "test"), layout.models_bucket(project, "test"))
    }
    Cloud.versions = []
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/Pulumi.test.yaml").write_text(STACK_FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(program, "Cloud", Cloud)
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(secrets, "add_version", add_version)
    return tmp_path


@pytest.fixture
def run(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*arguments: str, stdin: str = "", status: int = 0) -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        assert program.main([*arguments, "--stack", "test"]) == status
        out, err = capsys.readouterr()
        assert not (out if status else err)
        return out or err

    return run


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def models(project: str = "some-bots") -> Store:
    return Cloud.stores[layout.models_bucket(project, "test")]


def data(project: str = "some-bots") -> Store:
    return Cloud.stores[layout.data_bucket(project, "test")]


def an_account_with_a_past() -> None:
    for tag in (OLD, NEW):
        put(models(), a_manifest(tag).model_copy(update={"files": {}}))
    refused = a_manifest("20261120T120000Z-01234567").model_copy(
        update={"gate": "refused", "reason": "worse"}
    )
    put(models(), refused)
    put(models(), a_manifest("20261119T120000Z-01234567").model_copy(update={"pruned": NOW}))
    models().write(
        layout.manifest("keeper", "20261118T120000Z-01234567"), b'{"version": 9}', generation=0
    )
    release.move_live(models(), "keeper", NEW, "test", 0, NOW)
    for number, state in enumerate(["posted"] * 6 + ["unknown"] * 6 + ["nothing", "posted"]):
        record = Slot(
            state=state,  # pyright: ignore[reportArgumentType]
            execution="e",
            nonce="n",
            at=NOW,
            expires=NOW,
            text=f"[b]post[/b] {number}" if state == "posted" else None,
            release=NEW,
            id=str(number) if number < 13 else None,
            reason="X is out of order" if state == "unknown" else "",
        )
        name = slots.name(NOW - timedelta(days=20 - number))
        slots.write(data(), "keeper", name, record, generation=0)
    Ledger(data(), layout.reads("keeper"), POST_READ * 99, lambda: NOW).reserve(POST_READ * 60, 60)
    Ledger(data(), layout.spent("keeper"), POST_CREATE, lambda: NOW).reserve(POST_CREATE)


def test_the_status_is_printed_as_reviewed(run: Run) -> None:
    an_account_with_a_past()
    shown = run("status")
    told = run("status", "--json")
    assert told.startswith('{\n  "stack"')
    messages.check("bots-status", {"shown": lines(shown), "told": json.loads(told)})


def test_a_status_without_accounts_has_no_table_of_nothing(here: Path, run: Run) -> None:
    text = STACK_FILE.partition("    keeper:")[0].replace("accounts:", "accounts: {}")
    (here / "stacks/Pulumi.test.yaml").write_text(text)
    messages.check("bots-status-empty", {"shown": lines(run("status"))})


def test_releases_are_listed_and_chosen_as_reviewed(run: Run) -> None:
    an_account_with_a_past()
    said = {
        "releases": lines(run("releases", "keeper")),
        "promote": lines(run("promote", "keeper", OLD)),
        "promote again": lines(run("promote", "keeper", OLD)),
    }
    live = release.read_live(models(), "keeper")
    assert live is not None
    assert live.document.by == "operator ada"
    assert (live.document.at, live.document.release) == (NOW, OLD)
    said |= {
        "rollback": lines(run("rollback", "keeper")),
        "a refused one": lines(run("promote", "keeper", "20261120T120000Z-01234567", status=1)),
        "a missing one": lines(run("promote", "keeper", "none", status=1)),
        "a pruned one": lines(run("promote", "keeper", "20261119T120000Z-01234567", status=1)),
        "no account": lines(run("releases", "kepper", status=1)),
        "no live release": lines(run("rollback", "baker", status=1)),
    }
    live = release.read_live(models(), "keeper")
    assert live is not None
    assert (live.document.by, live.document.release) == ("operator ada", NEW)
    first = live.document.model_copy(update={"previous": None})
    models().write(
        layout.live_pointer("keeper"), first.model_dump_json().encode(), generation=live.generation
    )
    said["no earlier release"] = lines(run("rollback", "keeper", status=1))
    messages.check("bots-releases", said)


def test_a_pointer_that_somebody_else_moves_meanwhile_stays(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_account_with_a_past()
    real = release.read_live

    def outdated(store: Store, account: str) -> Any:
        found = real(store, account)
        return found and found._replace(generation=found.generation - 1)

    monkeypatch.setattr(release, "read_live", outdated)
    messages.check("bots-race", {"promote": lines(run("promote", "keeper", OLD, status=1))})


def test_an_archive_goes_to_the_account_and_the_project_that_was_asked_for(
    here: Path, run: Run
) -> None:
    texts = [(f"Log {n}: fog.", NOW - timedelta(hours=n)) for n in (2, 1, 0)]
    archive.write(here / "mine.zip", "grumpybaker", texts)
    archive.write(here / "empty.zip", "grumpybaker", [("RT @a: fog.", NOW)])
    (here / "tweets.js").write_text(
        tweets_js(*ODD, *(entry(n, "Fog.", NOW) for n in range(20, 26)), *(entry(30, None),) * 6)
    )
    (here / "lines.txt").write_text("Fog.\nMore fog.\n")
    os.utime(here / "lines.txt", (NOW.timestamp(), NOW.timestamp()))
    said = {
        "kinds and odd entries": lines(
            run("import", "baker", "tweets.js", "--owner", "grumpybaker:77", "--dry-run")
        ),
        "lines of text": lines(
            run("import", "baker", "lines.txt", "--owner", "@grumpybaker", "--dry-run")
        ),
        "a dry run": lines(run("import", "baker", "mine.zip", "--dry-run")),
        "import": lines(run("import", "baker", "mine.zip")),
        "import again": lines(run("import", "baker", "mine.zip")),
        "no tweets": lines(run("import", "baker", "empty.zip", status=1)),
        "of somebody else": lines(run("import", "keeper", "mine.zip", status=1)),
        "of nobody knows whom": lines(run("import", "keeper", "tweets.js", status=1)),
        "no file": lines(run("import", "keeper", "nowhere.zip", status=1)),
    }
    messages.check("bots-import", said)
    (segment,) = data("more-bots").names(layout.segments("baker"))
    assert layout.new_in_archive(segment) == 3
    assert data().names("") == []


def test_what_an_import_finds_wrong_is_told(here: Path, run: Run) -> None:
    older = {"data/tweets.js": tweets_js(entry(1, "a"), entry(2, "b")), "data/account.js": BAKER}
    zipped(here / "older.zip", older)
    newer = {
        "data/tweets.js": tweets_js(entry(2, "b"), entry(3, "c")),
        "data/manifest.js": manifest({"accountId": "5", "userName": "grumpybaker"}, tweets=2),
        "old/data/tweets.js": tweets_js(entry(9, "d")),
    }
    zipped(here / "newer.zip", newer)
    missing = manifest({"accountId": "5", "userName": "grumpybaker"}, tweets=2, tweets_part1=7)
    zipped(here / "part.zip", newer | {"data/manifest.js": missing})
    run("import", "baker", "older.zip")
    said = {
        "deleted tweets, stray files": lines(run("import", "baker", "newer.zip")),
        "a missing part": lines(run("import", "baker", "part.zip", status=1)),
        "a missing part, wanted": lines(run("import", "baker", "part.zip", "--partial")),
        "somebody else's": lines(
            run("import", "baker", "older.zip", "--owner", "grumpybaker:6", status=1)
        ),
    }
    messages.check("bots-import-faults", said)


def test_what_is_learnt_is_shown_by_the_stack_files_settings(here: Path, run: Run) -> None:
    texts = [(f"Log {n}: fog.", NOW - timedelta(hours=n)) for n in range(3)]
    archive.write(here / "mine.zip", "grumpybaker", texts)
    run("import", "baker", "mine.zip")
    file = here / "stacks/Pulumi.test.yaml"
    file.write_text(
        file.read_text().replace(
            "handle: grumpybaker", 'handle: grumpybaker\n      learn: {exclude: {words: ["log 1"]}}'
        )
    )
    told = json.loads(run("corpus", "baker", "--dropped", "--json"))
    assert (told["tweets"], told["learnt"], told["dropped"]) == (3, 2, {"excluded": 1})
    assert [one["reason"] for one in told["sample"]] == ["excluded"]
    assert lines(run("corpus", "baker", "--sample", "1"))[0].startswith("baker: 3 tweets, ")
    assert "has no tweets yet" in run("corpus", "keeper", status=1)


def test_tweets_are_forgotten_as_reviewed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["Log 1: fog.", "Log 2: FOG &amp; rain.", "Log 3: gale."]
    segment = [tweet(id=str(n), text=text) for n, text in enumerate(texts, start=1)]
    data().write(f"{layout.segments('keeper')}1.jsonl", to_jsonl(segment), generation=0)
    for tag in (OLD, NEW):
        models().write(f"{layout.release('keeper', tag)}model/model.bin", b"", generation=0)
        put(models(), a_manifest(tag))
    release.move_live(models(), "keeper", NEW, "test", 0, NOW)
    why = ("--why", "asked by mail")
    said = {
        "why is missing": run_refused("forget", "keeper", "1"),
        "nothing is named": run_refused("forget", "keeper", *why),
        "both": run_refused("forget", "keeper", "1", "--all", *why),
        "no id": lines(run("forget", "keeper", "x1", *why, status=1)),
        "no text": lines(run("forget", "keeper", "--match", " ", *why, status=1)),
        "in the reason": lines(run("forget", "keeper", "--match", "by mail", *why, status=1)),
        "no match": lines(run("forget", "keeper", "--match", "snow", *why, status=1)),
        "nobody confirms": lines(run("forget", "keeper", "--all", *why, status=1)),
    }
    assert data().names("") == [f"{layout.segments('keeper')}1.jsonl"]
    said |= {
        "an id": lines(run("forget", "keeper", "3", "99", *why)),
        "match": lines(run("forget", "keeper", "--match", "fog & rain", "--yes", *why)),
        "all": json.loads(run("forget", "keeper", "--all", "--yes", "--json", *why)),
        "releases": lines(run("releases", "keeper")),
        "promote": lines(run("promote", "keeper", OLD, status=1)),
    }
    messages.check("bots-forget", said)


def test_a_person_may_think_again(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{layout.segments('keeper')}1.jsonl"
    data().write(name, to_jsonl([tweet(id="1", text="Log 1: fog.")]), generation=0)
    monkeypatch.setattr(sys, "stdin", Terminal("n\n\nyes\n"))
    command = ["forget", "keeper", "--match", "fog", "--why", "a mail", "--stack", "test"]
    for _ in range(2):
        assert program.main(command) == 1
        said, error = capsys.readouterr()
        assert "forget 1 tweet and 0 posts? [y/N]" in said
        assert "Log 1: fog." in said
        assert error == "error: nothing was changed\n"
    assert data().names("") == [name]
    assert program.main(command) == 0
    assert data().names("") != [name]


class Terminal(io.StringIO):
    """Standard input at which a person types."""

    def isatty(self) -> bool:
        return True


def run_refused(*arguments: str) -> str:
    """What argparse says of arguments that do not fit."""
    error = io.StringIO()
    with pytest.raises(SystemExit), contextlib.redirect_stderr(error):
        program.main([*arguments, "--stack", "test"])
    return " ".join(error.getvalue().splitlines()[-1].split())


def test_a_base_model_goes_to_every_project(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], str]] = []

    def bring(stores: list[Store], name: str) -> list[str]:
        asked.append(([store.bucket_name for store in stores], name))
        return [stores[1].bucket_name]

    monkeypatch.setattr(base, "copy", bring)
    messages.check("bots-base", {"base": lines(run("base", "355M"))})
    assert asked == [(["some-bots-test-models", "more-bots-test-models"], "355M")]


def test_keys_go_to_the_accounts_secret_and_the_token_to_every_project(run: Run) -> None:
    said = {
        "keys": lines(run("credentials", "baker", stdin=json.dumps(KEYS))),
        "token": lines(run("credentials", "--bearer", stdin=" token\n")),
        "no keys": lines(run("credentials", "keeper", status=1)),
        "no token": lines(run("credentials", "--bearer", stdin="\n", status=1)),
        "two words": lines(run("credentials", "--bearer", stdin="a b", status=1)),
    }
    messages.check("bots-credentials", said)
    (_, keys), *tokens = Cloud.versions
    assert json.loads(keys) == KEYS
    assert [secret for secret, _ in Cloud.versions] == [
        "projects/more-bots/secrets/test-baker-x-keys",
        "projects/some-bots/secrets/test-x-bearer",
        "projects/more-bots/secrets/test-x-bearer",
    ]
    assert {value for _, value in tokens} == {"token"}


def test_what_is_typed_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def typed(prompt: str) -> str:
        asked.append(prompt)
        return " typed "

    monkeypatch.setattr(sys, "stdin", Terminal("not read"))
    monkeypatch.setattr(credentials, "getpass", typed)
    assert json.loads(credentials.keys()) == dict.fromkeys(KEYS, "typed")
    assert credentials.bearer() == "typed"
    assert asked == [f"{name}: " for name in (*KEYS, "bearer token")]


def test_an_interrupt_ends_the_command_with_the_shells_status(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Stack) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "Cloud", interrupted)
    assert program.main(["status", "--stack", "test"]) == 130


def test_a_stack_file_elsewhere_can_be_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "stacks/Pulumi.test.yaml").rename(here / "Pulumi.mine.yaml")
    Cloud.stores = {name.replace("-test-", "-mine-"): store for name, store in Cloud.stores.items()}
    assert program.main(["status", "--json", "--config-file", "Pulumi.mine.yaml"]) == 0
    assert json.loads(capsys.readouterr().out)["stack"] == "mine"


def has_commands(
    action: argparse.Action,
) -> TypeGuard["argparse._SubParsersAction[argparse.ArgumentParser]"]:
    return isinstance(action, argparse._SubParsersAction)


def test_the_help_pages_are_as_reviewed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    parser = program._parser()
    (commands,) = (action for action in parser._actions if has_commands(action))
    # Versions of Python differ in white space.
    pages = {name: one.format_help().split() for name, one in commands.choices.items()}
    pages["bots"] = parser.format_help().split()
    assert program._DESCRIPTION in parser.format_help()
    assert program._EXAMPLES in parser.format_help()
    for arguments in ([], ["credentials", "--stack", "test"], ["status"], ["base", "--stack", "x"]):
        with pytest.raises(SystemExit) as ended:
            program.main(arguments)
        assert ended.value.code == 2
        pages["wrong: " + " ".join(arguments)] = capsys.readouterr().err.splitlines()[-1].split()
    messages.check("bots-help", {name: " ".join(words) for name, words in pages.items()})


@pytest.mark.parametrize(
    "arguments",
    [
        ["credentials", "keeper", "--bearer", "--stack", "test"],
        ["status", "--stack", "test", "--config-file", "x"],
        ["import", "keeper", "--stack", "test"],
        ["promote", "keeper", "--stack", "test"],
        ["rollback", "--stack", "test"],
        ["releases", "--stack", "test"],
        ["corpus", "keeper", "--sample", "-1", "--stack", "test"],
    ],
)
def test_arguments_that_contradict_or_are_missing_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program._parser().parse_args(arguments)
    assert ended.value.code == 2


def test_the_local_cloud_is_asked_with_a_timeout_and_its_time_is_the_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def get(url: str, **options: Any) -> requests.Response:
        asked.append((url, options))
        response = requests.Response()
        response.status_code = 200 if len(asked) == 1 else 500
        response._content = json.dumps({"now": NOW.isoformat()}).encode()
        return response

    changed: dict[str, str] = {"GOOGLE_APPLICATION_CREDENTIALS": "real"}
    monkeypatch.setattr(requests, "get", get)
    monkeypatch.setattr(cloud.os, "environ", changed)
    stack = Stack.model_validate(
        {
            "name": "test",
            "project": "some-bots",
            "region": "europe-west4",
            "emulator": "http://127.0.0.1:9080",
        }
    )
    assert cloud.Cloud(stack).now() == NOW
    assert asked == [("http://127.0.0.1:9080/local/status", {"timeout": 30})]
    assert changed == {
        "API_ENDPOINT_OVERRIDE": "http://127.0.0.1:9080",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": "http://127.0.0.1:9080/",
        "GCE_METADATA_HOST": "127.0.0.1:9080/as/operator",
        "GCE_METADATA_IP": "127.0.0.1:9080/as/operator",
        "GOOGLE_CLOUD_PROJECT": "some-bots",
        "CLOUDSDK_CONFIG": os.devnull,
    }
    with pytest.raises(
        UserError,
        match=r"^the local cloud is not running at http://127\.0\.0\.1:9080: start it with"
        r" `python -m local up`$",
    ):
        cloud.Cloud(stack)


def test_buckets_and_secrets_are_those_of_the_accounts_project(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(cloud.Store, "open", opened.append)
    found = cloud.Cloud(program.stack_file.read(here / "stacks/Pulumi.test.yaml"))
    assert found.local is None
    for part in (*found.parts(), found.of("baker"), found.of("keeper")):
        _ = part.data, part.models
        part.add_secret_version("s", "v")
    projects = ["some-bots", "more-bots", "more-bots", "some-bots"]
    assert opened == [f"{p}-test-{role}" for p in projects for role in ("data", "models")]
    assert Cloud.versions == [(f"projects/{project}/secrets/s", "v") for project in projects]
