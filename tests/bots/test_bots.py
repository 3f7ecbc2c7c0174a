"""The operator's command, typed as an operator types it, against the local cloud's gateway."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from demo.samples import archive
from local.gateway.gateway import Gateway
from local.gateway.iam import Policy
from local.gateway.server import Response
from local.services.secretmanager import api as secretmanager_api
from local.services.secretmanager.secrets import Secrets
from local.services.storage import api as storage_api
from local.services.storage.server import StorageServer
from pipeline import index, layout, release, slots
from pipeline.prices import POST_CREATE, POST_READ
from pipeline.release import Dataset, Loss, Manifest, Memorisation
from pipeline.settings import Settings
from pipeline.slots import Slot
from pipeline.spend import Ledger
from pipeline.store import Store

REPOSITORY = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
KEYS = {
    "api_key": "very-secret-1",
    "api_secret": "very-secret-2",
    "access_token": "very-secret-3",
    "access_token_secret": "very-secret-4",
}

STACK_FILE = """\
config:
  gcp:project: local-bots
  gcp:region: europe-west4
  gpt2-bots:emulator: {emulator}
  gpt2-bots:accounts:
    keeper:
      {{handle: lampkeeper, source: archive, consent: made up, post: "0 9 * * *", serve: {{}}}}
    baker: {{handle: grumpybaker, source: archive, consent: made up}}
"""
# The second tells coverage what to measure.
_INHERITED = ("PATH", "COVERAGE_PROCESS_CONFIG")
AT_GOOGLE = STACK_FILE.replace("  gpt2-bots:emulator: {emulator}\n", "")


@dataclass
class Operator:
    """A person at a terminal, in the folder of the project."""

    folder: Path
    data: Store
    models: Store
    secrets: Secrets

    def types(
        self, *arguments: str, stdin: str = "", stack: str = "test", columns: str = "200"
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            # Of a person with real credentials, which nothing here may use.
            "HOME": str(self.folder / "home"),
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.folder / "real-credentials.json"),
            "PYTHONPATH": str(REPOSITORY),
            "COLUMNS": columns,
        }
        return subprocess.run(
            [sys.executable, "-m", "bots", *arguments, "--stack", stack],
            cwd=self.folder,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def does(self, *arguments: str, stdin: str = "") -> str:
        """What it prints, having worked."""
        done = self.types(*arguments, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def fails(self, *arguments: str, stdin: str = "", stack: str = "test") -> str:
        """The one line that it prints, having failed."""
        done = self.types(*arguments, stdin=stdin, stack=stack)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        return line

    def status(self) -> dict[str, Any]:
        return json.loads(self.does("status", "--json"))

    def release(self, account: str, day: int, gate: Any = "passed") -> str:
        """Store a release's manifest and return its tag."""
        made = datetime(2026, 11, day, 10, 15, tzinfo=UTC)
        tag = release.tag(made, "0123abcd" * 8)
        manifest = Manifest(
            account=account,
            tag=tag,
            created=made,
            run=f"2026-11-{day}",
            dataset=Dataset(digest="0123abcd" * 8, tweets=540, held_out=60),
            base_model="tiny",
            warm_start=None,
            compared_with=None,
            settings=Settings(),
            loss=Loss(
                held_out_float=1.5,
                held_out_int8=1.5 + day / 100,
                live_int8=None,
                train_curve=[],
                held_out_curve=[],
            ),
            memorisation=Memorisation(samples=0.1, held_out=0.1),
            valid=1.0,
            step=160,
            files={},
            gate=gate,
            reason="" if gate == "passed" else "worse than the live one",
        )
        self.models.write(
            layout.manifest(account, tag), manifest.model_dump_json().encode(), generation=0
        )
        return tag

    @property
    def live(self) -> str | None:
        found = release.read_live(self.models, "keeper")
        return found and found[0].release


@pytest.fixture(scope="module")
def storage_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageServer]:
    server = StorageServer(tmp_path_factory.mktemp("storage") / "objects")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def operator(tmp_path: Path, storage_server: StorageServer) -> Iterator[Operator]:
    """The real gateway and storage, with a status that stands in for the local cloud's own."""

    def status(*_: object) -> Response:
        ticks = [{"job": "test-keeper-post", "at": "2026-11-24T09:00:00+00:00"}]
        return Response.json(200, {"now": NOW.isoformat(), "resources": 31, "ticks": ticks})

    secrets = Secrets(tmp_path / "secrets")
    gateway = Gateway(0, "local-bots")
    policy = Policy(list, dict)
    api = storage_api.CloudStorage(
        storage_server, policy, lambda: NOW, lambda attributes, metadata: None
    )
    gateway.serve(storage_api.PATH, api.respond, anonymous=True)
    secret_manager = secretmanager_api.SecretManager("local-bots", policy, secrets)
    gateway.serve(secretmanager_api.PATH, secret_manager.respond)
    gateway.serve("/local/status", status, anonymous=True)
    gateway.start()
    (tmp_path / "stacks").mkdir()
    for name, text in {
        "test": STACK_FILE.format(emulator=gateway.url),
        "off": STACK_FILE.format(emulator="http://127.0.0.1:10"),
        "google": AT_GOOGLE.format(),
    }.items():
        (tmp_path / "stacks" / f"Pulumi.{name}.yaml").write_text(text)
    client: Any = storage.Client(
        project="local-bots",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": storage_server.upstream},
    )
    stores: list[Store] = []
    for bucket in (
        layout.data_bucket("local-bots", "test"),
        layout.models_bucket("local-bots", "test"),
    ):
        storage_server.create_bucket(bucket)
        stores.append(Store(client.bucket(bucket), timeout=5))
    secrets.create("test-keeper-x-keys")
    secrets.create("test-x-bearer")
    yield Operator(tmp_path, stores[0], stores[1], secrets)
    client.close()
    gateway.stop()
    for store in stores:
        storage_server.clear_bucket(store.bucket_name)
        storage_server.delete_bucket(store.bucket_name)


def tweets(count: int) -> list[tuple[str, datetime]]:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    return [(f"Log entry {n}: fog again.", first + timedelta(hours=n)) for n in range(count)]


def test_the_help_shows_every_command_and_examples_that_parse() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bots", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("status", "import", "credentials", "releases", "promote", "rollback"):
        assert f"    {command}" in done.stdout
        assert f"    bots {command} " in done.stdout


def test_an_archive_is_imported_once_however_often_the_command_runs(operator: Operator) -> None:
    archive.write(operator.folder / "mine.zip", "lampkeeper", tweets(60))
    said = operator.does("import", "keeper", "mine.zip")
    assert "60 tweets of @lampkeeper" in said
    assert "new: 60;" in said
    segments = operator.data.names(layout.segments("keeper"))
    assert "new: 0;" in operator.does("import", "keeper", "mine.zip")
    assert operator.data.names(layout.segments("keeper")) == segments
    archive.write(operator.folder / "later.zip", "lampkeeper", tweets(75))
    assert "new: 15;" in operator.does("import", "keeper", "later.zip")
    assert operator.status()["accounts"]["keeper"]["tweets"] == 75


def test_a_foreign_or_broken_archive_is_refused_in_one_line(operator: Operator) -> None:
    archive.write(operator.folder / "foreign.zip", "somebody", tweets(10))
    (operator.folder / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    assert "@somebody" in operator.fails("import", "keeper", "foreign.zip")
    assert "broken.zip" in operator.fails("import", "keeper", "broken.zip")
    assert "missing.zip" in operator.fails("import", "keeper", "missing.zip")
    assert operator.data.names("tweets/") == []


def test_the_status_has_what_was_collected_released_posted_and_spent(operator: Operator) -> None:
    archive.write(operator.folder / "mine.zip", "lampkeeper", tweets(60))
    operator.does("import", "keeper", "mine.zip")
    held = index.read(operator.data, "keeper")
    assert held is not None
    newest = held.document.newest_id
    old, new = operator.release("keeper", 21), operator.release("keeper", 22)
    operator.does("promote", "keeper", new)
    for slot, state, text in (
        ("20261122T0900Z", "posted", "Fog [bold]again[/bold]."),
        ("20261123T0900Z", "unknown", "Is it there?"),
    ):
        record = Slot(
            state=state,  # pyright: ignore[reportArgumentType]
            execution="e",
            nonce="n",
            at=NOW,
            expires=NOW,
            text=text,
            release=new,
            id="1234" if state == "posted" else None,
            reason="" if state == "posted" else "X is out of order",
        )
        slots.write(operator.data, "keeper", slot, record, generation=0)
    Ledger(operator.data, layout.reads("keeper"), POST_READ * 99, lambda: NOW).reserve(
        POST_READ * 60, 60
    )
    Ledger(operator.data, layout.spent("keeper"), POST_CREATE, lambda: NOW).reserve(POST_CREATE)

    found = operator.status()
    assert found["accounts"]["keeper"].pop("api").endswith("/run/test-keeper-api/")
    assert found["accounts"]["baker"]["api"] is None
    assert found["accounts"]["keeper"] == {
        "tweets": 60,
        "newest_id": newest,
        "collecting": None,
        "releases": [
            {"tag": old, "loss": 1.71, "live": False},
            {"tag": new, "loss": 1.72, "live": True},
        ],
        "releases_total": 2,
        "posts": [
            {
                "slot": "20261122T0900Z",
                "text": "Fog [bold]again[/bold].",
                "id": "1234",
                "release": new,
            }
        ],
        "without_post": [
            {"slot": "20261123T0900Z", "state": "unknown", "reason": "X is out of order"}
        ],
        "reads": 60,
        "reads_usd": "0.300",
        "posts_bought": 1,
        "posts_usd": "0.015",
    }
    assert found["accounts"]["baker"]["newest_id"] is None
    assert found["resources"] == 31
    assert found["next"] == [{"job": "test-keeper-post", "at": "2026-11-24T09:00:00+00:00"}]

    shown = operator.does("status")
    for fact in (new, "Fog [bold]again[/bold].", "1234", "X is out of order", "31 resources"):
        assert fact in shown


def test_credentials_become_the_newest_version_and_are_never_shown(operator: Operator) -> None:
    printed = operator.does("credentials", "keeper", stdin=json.dumps(KEYS))
    assert json.loads(operator.secrets.access("test-keeper-x-keys")) == KEYS
    printed += operator.does("credentials", "--bearer", stdin="very-secret-token\n")
    assert operator.secrets.access("test-x-bearer") == b"very-secret-token"
    assert "very-secret" not in printed


@pytest.mark.parametrize(
    "given", ["", "no JSON", '{"api_key": "very-secret"}', json.dumps({**KEYS, "x": "y"})]
)
def test_invalid_credentials_are_refused_and_not_shown(operator: Operator, given: str) -> None:
    line = operator.fails("credentials", "keeper", stdin=given)
    assert "bots credentials" in line
    assert "very-secret" not in line


def test_a_secret_that_is_not_declared_yet_is_an_error_of_one_line(operator: Operator) -> None:
    line = operator.fails("credentials", "baker", stdin=json.dumps(KEYS))
    assert "test-baker-x-keys" in line
    assert "pulumi up" in line


def test_promotion_and_rollback_move_the_live_pointer(operator: Operator) -> None:
    old, new = operator.release("keeper", 21), operator.release("keeper", 22)
    assert "nothing to go back from" in operator.fails("rollback", "keeper")
    operator.does("promote", "keeper", old)
    assert "nothing to go back to" in operator.fails("rollback", "keeper")
    operator.does("promote", "keeper", new)
    assert operator.live == new
    assert "already" in operator.does("promote", "keeper", new)
    operator.does("rollback", "keeper")
    assert operator.live == old
    shown = operator.does("releases", "keeper").splitlines()
    assert [("live" in line.rsplit("passed")[1]) for line in shown if "passed" in line] == [
        False,
        True,
    ]


def test_a_rollback_to_a_release_that_is_gone_is_refused(operator: Operator) -> None:
    old, new = operator.release("keeper", 21), operator.release("keeper", 22)
    for tag in (old, new):
        operator.does("promote", "keeper", tag)
    manifest = layout.manifest("keeper", old)
    held = operator.models.read(manifest)
    assert held is not None
    operator.models.delete(manifest, generation=held.generation)
    assert old in operator.fails("rollback", "keeper")
    assert operator.live == new


def test_only_a_release_that_exists_and_passed_can_be_promoted(operator: Operator) -> None:
    refused = operator.release("keeper", 20, gate="refused")
    assert "worse than the live one" in operator.fails("promote", "keeper", refused)
    missing = "20261101T000000Z-0123abcd"
    assert missing in operator.fails("promote", "keeper", missing)
    assert operator.live is None


def test_a_release_of_a_newer_program_is_shown_as_unreadable_beside_the_others(
    operator: Operator,
) -> None:
    tag = operator.release("keeper", 20)
    newer = "20261121T101500Z-0123abcd"
    operator.models.write(layout.manifest("keeper", newer), b'{"version": 9}', generation=0)
    shown = " ".join(operator.types("releases", "keeper", columns="200").stdout.split())
    assert newer in shown
    assert "unreadable: gs://" in shown
    assert "update this program" in shown
    assert tag in shown
    operator.does("promote", "keeper", tag)
    assert "update this program" in operator.fails("promote", "keeper", newer)
    assert operator.live == tag


def test_a_pruned_release_is_shown_as_such_and_never_goes_live(operator: Operator) -> None:
    days = [operator.release("keeper", day) for day in (20, 21, 22)]
    oldest, middle, newest = days
    refused = operator.release("keeper", 19, gate="refused")
    for tag in (oldest, refused):
        release.mark(operator.models, "keeper", tag, NOW)
    operator.does("promote", "keeper", middle)
    operator.does("promote", "keeper", newest)
    line = operator.fails("promote", "keeper", oldest)
    assert f"release {oldest} of keeper was pruned on 2026-11-23" in line
    assert "`bots releases keeper`" in line
    assert operator.live == newest
    release.mark(operator.models, "keeper", middle, NOW)
    assert f"release {middle} of keeper was pruned" in operator.fails("rollback", "keeper")
    assert operator.live == newest

    for width in (200, 80, 60):
        shown = operator.types("releases", "keeper", columns=str(width)).stdout
        assert all(tag in shown for tag in (refused, *days)), "a tag that nobody can copy"
        assert max(map(len, shown.splitlines())) <= width
        if width >= 80:
            states = [line.split()[-2] for line in shown.splitlines() if "Z-0123abcd" in line]
            assert states == ["live", "pruned", "pruned", "pruned"], shown
    status = operator.status()["accounts"]["keeper"]["releases"]
    assert [made["tag"] for made in status] == [refused, *days]
    assert [made["live"] for made in status] == [False, False, False, True]


def test_a_wrong_name_is_one_line_that_says_what_to_do(operator: Operator) -> None:
    assert "it has: baker, keeper" in operator.fails("releases", "kepper")
    assert "Pulumi.nowhere.yaml" in operator.fails("status", stack="nowhere")
    line = operator.fails("status", stack="off")
    assert "the local cloud is not running" in line
    assert "python -m local up" in line


def test_at_google_without_credentials_the_line_says_how_to_log_in(operator: Operator) -> None:
    """No login, and no network: what is shown is only that it ends in one line."""
    assert "credentials" in operator.fails("status", stack="google")
