"""What the client of a bucket does unasked."""

import threading

import pytest

from pipeline.store import Store


def test_a_bucket_is_read_and_written_without_a_background_thread(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    store.write("name", b"data", generation=0)
    store.read("name")
    # Threads of the local Cloud Storage, which runs in this process, have other names.
    assert [name for name in started if "background" in name] == []
