"""A bucket: what is lost, overwritten or believed when answers, networks and rivals fail."""

# pyright: reportPrivateUsage=false

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import Forbidden
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from pipeline.errors import Unavailable, UserError
from pipeline.store import PreconditionFailed, Store, _one_line


def test_what_was_written_is_read_with_its_generation(store: Store) -> None:
    generation = store.write("a/b.json", b"{}", generation=0)
    found = store.read("a/b.json")
    assert found is not None
    assert (found.name, found.data, found.generation) == ("a/b.json", b"{}", generation)


def test_an_absent_object_reads_as_none(store: Store) -> None:
    assert store.read("nothing.json") is None


def test_generation_zero_means_create(store: Store) -> None:
    store.write("a", b"first", generation=0)
    with pytest.raises(PreconditionFailed, match="a"):
        store.write("a", b"second", generation=0)
    found = store.read("a")
    assert found is not None
    assert found.data == b"first"


def test_only_the_named_generation_is_replaced(store: Store) -> None:
    old = store.write("a", b"1", generation=0)
    new = store.write("a", b"2", generation=old)
    with pytest.raises(PreconditionFailed):
        store.write("a", b"3", generation=old)
    assert store.write("a", b"4", generation=new) not in {old, new}


def test_an_object_that_is_gone_is_not_replaced(store: Store) -> None:
    with pytest.raises(PreconditionFailed):
        store.write("a", b"1", generation=12345)


def test_a_write_that_the_client_repeats_succeeds(store: Store) -> None:
    generation = store.write("a", b"mine", generation=0)
    assert store.write("a", b"mine", generation=0) == generation


def test_of_many_writers_one_wins(store: Store) -> None:
    ready = threading.Barrier(8)

    def write(writer: int) -> bool:
        ready.wait()
        try:
            store.write("claim", str(writer).encode(), generation=0)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 1


def test_names_are_those_under_the_prefix_in_order(store: Store) -> None:
    for name in ("b/2", "b/1", "b/c/3", "bb/4", "a"):
        store.write(name, b"", generation=0)
    assert store.names("b/") == ["b/1", "b/2", "b/c/3"]
    assert store.names("nowhere/") == []


def test_a_version_is_erased_by_its_generation_and_no_other_is(store: Store) -> None:
    old = store.write("b/1", b"one", generation=0)
    other = store.write("b/2", b"two", generation=0)
    assert store.versions("b/") == [("b/1", old, True), ("b/2", other, True)]
    store.erase("b/1", old + 1)
    assert store.names("b/") == ["b/1", "b/2"]
    store.erase("b/1", old)
    store.erase("b/1", old)
    assert store.versions("b/") == [("b/2", other, True)]


def test_a_file_comes_back_byte_by_byte(store: Store, tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000  # 10 MB: sent in pieces
    (tmp_path / "up").write_bytes(data)
    store.upload("model.bin", tmp_path / "up")
    store.download("model.bin", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == data


def test_the_same_file_can_be_uploaded_again_and_another_cannot(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    store.upload("f", file)
    store.upload("f", file)
    file.write_bytes(b"two")
    with pytest.raises(PreconditionFailed, match="f"):
        store.upload("f", file)
    found = store.read("f")
    assert found is not None
    assert found.data == b"one"


def test_a_download_that_fails_leaves_no_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot download nothing"):
        store.download("nothing", tmp_path / "down")
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_that_does_not_exist_is_an_error_of_one_line(
    bucket_factory: Callable[[], storage.Bucket],
) -> None:
    client: Any = bucket_factory().client
    store = Store(client.bucket("nobody-made-this"), timeout=1)
    for call in (lambda: store.write("a", b"", generation=0), lambda: store.names("")):
        with pytest.raises(UserError, match=r"bucket nobody-made-this: .*deploy the stack"):
            call()


def test_storage_that_does_not_answer_is_an_error_of_one_line(tmp_path: Path) -> None:
    client: Any = storage.Client(
        project="test",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": "http://127.0.0.1:9"},
    )
    store = Store(client.bucket("far"), timeout=0.2)
    (tmp_path / "file").write_bytes(b"")
    for call in (
        lambda: store.read("a"),
        lambda: store.write("a", b"", generation=0),
        lambda: store.names(""),
        lambda: store.upload("a", tmp_path / "file"),
        lambda: store.download("a", tmp_path / "down"),
    ):
        with pytest.raises(Unavailable) as error:
            call()
        assert "bucket far: cannot" in str(error.value)
        assert "run it again" in str(error.value)
        assert "\n" not in str(error.value)


def test_without_credentials_the_line_says_how_to_log_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(UserError, match="gcloud auth application-default login"):
        Store.open("any")


def test_the_reason_of_a_refused_download_is_shown_without_its_address() -> None:
    denied = "serviceAccount:a@p lacks storage.objects.get on projects/_/buckets/b/objects/o"
    body = json.dumps({"error": {"code": 403, "message": denied}}, indent=1)
    with (
        pytest.raises(UserError, match=rf"cannot read o: {denied}; grant it"),
        _one_line("b", "read o"),
    ):
        raise Forbidden(
            f"GET http://127.0.0.1:9/b/b/o/o?alt=media: {body}: ('Request failed', 403)"
        )


def test_a_persons_own_credentials_need_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `gcloud auth application-default login` leaves them, with a quota project of their own."""
    credentials = tmp_path / "credentials.json"
    credentials.write_text(
        json.dumps(
            {
                "type": "authorized_user",
                "client_id": "id",
                "client_secret": "secret",
                "refresh_token": "token",
                "quota_project_id": "quota",
            }
        )
    )
    for name in ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "API_ENDPOINT_OVERRIDE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(OSError, match="Project was not passed"):
        storage.Client()
    assert Store.open("bucket").bucket_name == "bucket"
