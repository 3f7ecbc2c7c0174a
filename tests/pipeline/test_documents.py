"""Stored documents: programs of different ages read what the others wrote, and lose nothing."""

# pyright: reportPrivateUsage=false

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import documents, history, layout, lease, release
from pipeline.clock import Clock
from pipeline.documents import Damaged, Document, Newer, Part, Unreadable
from pipeline.history import History
from pipeline.lease import Terms
from pipeline.prices import POST_CREATE
from pipeline.release import Manifest
from pipeline.settings import Settings
from pipeline.spend import Ledger, Spent
from pipeline.store import Store

FIXTURES = Path(__file__).with_name("documents")
FILES = sorted(FIXTURES.glob("*/*.json"))
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ADDRESS = "gs://bucket/object"
MANIFEST = FIXTURES / "release.Manifest" / "2.json"
TAG = "20261123T081530Z-1a2b3c4d"


def subclasses(model: type[Document]) -> Iterator[type[Document]]:
    for subclass in model.__subclasses__():
        if not subclass.__module__.startswith("tests."):
            yield subclass
        yield from subclasses(subclass)


def all_models() -> dict[str, type[Document]]:
    """Every class of stored documents by the folder of its files, such as `release.Manifest`."""
    for package in ("pipeline", "app", "scraper_image", "control_image", "bots"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if module.name != "__main__":
                importlib.import_module(f"{package}.{module.name}")
    return {f"{m.__module__.split('.')[-1]}.{m.__name__}": m for m in subclasses(Document)}


MODELS = all_models()


def parts(model: type[Part]) -> Iterator[type[Part]]:
    """The class and those of the objects within it."""
    yield model
    for field in model.model_fields.values():
        for found in _classes(field.annotation):
            yield from parts(found)


def _classes(annotation: Any) -> Iterator[type[Part]]:
    if inspect.isclass(annotation) and issubclass(annotation, Part):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _classes(argument)


def parse(file: Path) -> Document:
    return documents.parse(MODELS[file.parent.name], file.read_bytes(), str(file))


def stored(**changes: Any) -> dict[str, Any]:
    """A manifest, as a newer program may have written it."""
    return json.loads(MANIFEST.read_text()) | changes


def put(store: Store, name: str, document: object) -> None:
    store.write(name, json.dumps(document).encode(), generation=0)


def get(store: Store, name: str) -> Any:
    found = store.read(name)
    assert found is not None
    return json.loads(found.data)


# What was ever written


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_every_version_that_was_ever_written_is_read(file: Path) -> None:
    assert parse(file).version == documents.current_version(MODELS[file.parent.name])


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_current_version_of_every_document_is_on_file(name: str) -> None:
    """After a change of a document's keys: raise its version, and add a file of that version."""
    version = documents.current_version(MODELS[name])
    file = FIXTURES / name / f"{version}.json"
    assert file.is_file(), f"add {file.name}: what this program writes"
    assert json.loads(documents.dump(parse(file))) == {
        "version": version,
        **json.loads(file.read_text()),
    }


def test_no_file_is_of_a_document_that_is_gone() -> None:
    assert {file.parent.name for file in FILES} == set(MODELS)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_part_of_a_document_keeps_unknown_keys(name: str) -> None:
    for part in parts(MODELS[name]):
        assert part.model_config.get("extra") == "allow", part


def test_a_history_of_version_1_is_a_bare_list() -> None:
    old, new = (FIXTURES / "history.History" / f"{version}.json" for version in (1, 2))
    assert parse(old) == parse(new)


def test_a_lease_of_version_1_calls_its_run_holder() -> None:
    old = parse(FIXTURES / "lease.Terms" / "1-account.json")
    assert isinstance(old, Terms)
    assert (old.run, old.by, old.model_extra) == ("train-prod-2026-11-23", "machine", {})


# What a newer program wrote


@pytest.mark.parametrize("where", ["", "settings", "loss", "dataset", "memorisation"])
def test_a_manifest_keeps_a_key_that_a_newer_program_added(store: Store, where: str) -> None:
    document = stored()
    (document[where] if where else document)["dropout"] = 0.1
    put(store, layout.manifest("keeper", TAG), document)
    release.mark(store, "keeper", TAG, NOW)
    pruned = {"pruned": "2026-11-23T12:00:00Z"}
    assert get(store, layout.manifest("keeper", TAG)) == document | pruned


def test_a_manifest_without_a_setting_that_came_later_is_read() -> None:
    document = stored()
    del document["settings"]["window"]
    manifest = documents.parse(Manifest, json.dumps(document).encode(), ADDRESS)
    assert Settings().match(manifest.settings)


def test_settings_match_as_far_as_they_are_known() -> None:
    document = stored()
    document["settings"]["dropout"] = 0.1
    manifest = documents.parse(Manifest, json.dumps(document).encode(), ADDRESS)
    assert Settings().match(manifest.settings)
    assert not Settings(steps=7).match(manifest.settings)


def test_a_newer_version_that_can_be_read_stays_of_that_version(store: Store) -> None:
    put(store, layout.manifest("keeper", TAG), stored(version=7))
    release.mark(store, "keeper", TAG, None)
    assert get(store, layout.manifest("keeper", TAG))["version"] == 7


def test_an_older_version_that_is_written_again_is_of_the_current_one(store: Store) -> None:
    put(store, layout.history("keeper"), [{"slot": "s", "text": "one"}])
    history.remember(store, "keeper", "t", "two")
    assert get(store, layout.history("keeper"))["version"] == documents.current_version(History)


def test_the_history_keeps_unknown_keys(store: Store) -> None:
    entry = {"slot": "s", "text": "one", "mood": "good"}
    put(store, layout.history("keeper"), {"version": 4, "entries": [entry], "language": "en"})
    history.remember(store, "keeper", "s", "one")
    history.remember(store, "keeper", "t", "two")
    assert get(store, layout.history("keeper")) == {
        "version": 4,
        "entries": [entry, {"slot": "t", "text": "two"}],
        "forgotten": [],
        "language": "en",
    }


def test_a_ledger_keeps_unknown_keys_into_the_next_month(store: Store) -> None:
    document = {"month": "2026-10", "usd": "1", "count": 1, "total": 9, "currency": "USD"}
    put(store, "spend.json", document)
    Ledger(store, "spend.json", POST_CREATE, lambda: NOW).reserve(POST_CREATE)
    written = get(store, "spend.json")
    assert (written["currency"], written["month"], written["total"]) == ("USD", "2026-11", 10)


def test_a_renewed_lease_keeps_unknown_keys(store: Store) -> None:
    mine = {"version": 3, "run": "mine", "expires": NOW.isoformat(), "by": "machine", "zone": "z"}
    put(store, "lease.json", mine)
    found = documents.read(store, "lease.json", Terms)
    assert found is not None
    lease.renew(store, "lease.json", found, NOW)
    assert get(store, "lease.json")["zone"] == "z"


# What cannot be read


def test_the_error_for_a_newer_version_says_to_update() -> None:
    data = json.dumps(stored(version=3, step={"of": 3})).encode()
    with pytest.raises(Newer) as error:
        documents.parse(Manifest, data, ADDRESS)
    assert str(error.value) == (
        "gs://bucket/object: step: Input should be a valid integer; it was written by a newer"
        " program, version 3, and this program knows version 2: update this program"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff",
        b'{"version": "9"}',
        b'{"version": null}',
        json.dumps(stored(step="many")).encode(),
        json.dumps(stored(version=1, step="many")).encode(),
    ],
)
def test_a_damaged_document_is_one_line_that_says_what_to_restore(data: bytes) -> None:
    with pytest.raises(
        Damaged, match=r"^gs://bucket/object: .*; restore an earlier version"
    ) as one:
        documents.parse(Manifest, data, ADDRESS)
    assert "\n" not in str(one.value)


def test_a_lease_of_a_newer_version_that_cannot_be_read_binds(store: Store) -> None:
    """A damaged one binds nobody; here another program may rely on it."""
    put(store, "lease.json", {"version": 9, "until": "the end of time"})
    with pytest.raises(Newer):
        lease.take(store, "lease.json", Terms(run="mine", expires=NOW), NOW)


def test_a_manifest_that_cannot_be_read_hides_no_other(store: Store) -> None:
    later = "20261124T081530Z-1a2b3c4d"
    put(store, layout.manifest("keeper", TAG), {"version": 9})
    put(store, layout.manifest("keeper", later), stored(tag=later))
    assert [manifest.tag for manifest in release.list_releases(store, "keeper")] == [later]
    found = dict(release.read_each(store, "keeper", release.tags(store, "keeper")))
    assert list(found) == [TAG, later]
    assert isinstance(found[TAG], Unreadable)


def test_a_release_that_cannot_be_read_does_not_go_live(store: Store) -> None:
    put(store, layout.manifest("keeper", TAG), {"version": 9})
    with pytest.raises(Newer):
        release.move_live(store, "keeper", TAG, "test", 0, NOW)
    assert release.read_live(store, "keeper") is None


# Changing


class Rival(Store):
    """A bucket in which somebody else writes just before each of the first writes."""

    rivals = 3

    def write(self, name: str, data: bytes, *, generation: int) -> int:
        if self.rivals:
            self.rivals -= 1
            found = self.read(name)
            rival = json.dumps({"entries": [{"slot": "s", "text": f"rival {self.rivals}"}]})
            super().write(name, rival.encode(), generation=found.generation if found else 0)
        return super().write(name, data, generation=generation)


def test_a_change_is_made_to_what_somebody_else_wrote_meanwhile(store: Store) -> None:
    history.remember(Rival(store._bucket, timeout=5), "keeper", "t", "mine")
    assert history.texts(store, "keeper") == ["rival 0", "mine"]


def test_what_is_not_changed_is_not_written(store: Store) -> None:
    history.remember(store, "keeper", "t", "mine")
    before = store.read(layout.history("keeper"))
    history.remember(store, "keeper", "t", "mine")
    assert store.read(layout.history("keeper")) == before


def test_equal_reservations_are_told_apart(store: Store) -> None:
    clock: Clock = lambda: NOW  # noqa: E731
    for _ in range(2):
        Ledger(store, "spend.json", POST_CREATE * 2, clock).reserve(POST_CREATE)
    found = documents.read(store, "spend.json", Spent)
    assert found is not None
    assert found.document.usd == POST_CREATE * 2
