"""Base models come from OpenAI once, whole and unharmed, or not at all."""

import base64
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock

import pytest

from pipeline import layout, published
from pipeline.errors import UserError
from pipeline.published import File
from pipeline.store import Store

WEIGHTS = "model.ckpt.data-00000-of-00001"


def content(file: str) -> bytes:
    return f"what is in {file}".encode()


@dataclass
class OpenAI:
    """Stands in for the host of the published models; `harm` changes what it answers for a file."""

    url: str = ""
    asked: list[str] = field(default_factory=list[str])
    harm: dict[str, bytes] = field(default_factory=dict[str, bytes])
    md5: dict[str, str] = field(default_factory=dict[str, str])
    failures: int = 0


@pytest.fixture
def openai(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAI]:
    double = OpenAI()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = self.path.rpartition("/")[2]
            double.asked.append(file)
            fails = double.failures > 0
            double.failures -= fails
            body = b"" if fails else double.harm.get(file, content(file))
            self.send_response(503 if fails else 200)
            self.send_header("Content-Length", str(len(body)))
            if file in double.md5:
                self.send_header("Content-MD5", double.md5[file])
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    double.url = f"http://127.0.0.1:{server.server_address[1]}/gpt-2/models"
    known = {
        file: File(len(content(file)), hashlib.sha256(content(file)).hexdigest())
        for file in layout.BASE_MODEL_FILES
    }
    # As for the larger models, whose weights have no known digest.
    known[WEIGHTS] = File(len(content(WEIGHTS)))
    monkeypatch.setitem(published.MODELS, "124M", known)
    monkeypatch.setattr(published.time, "sleep", Mock())
    yield double
    server.shutdown()
    server.server_close()


def test_every_published_model_has_the_files_of_the_layout() -> None:
    for files in published.MODELS.values():
        assert tuple(files) == layout.BASE_MODEL_FILES
        assert files[WEIGHTS].size


@pytest.mark.parametrize(
    ("name", "layers", "width"),
    [("124M", 12, 768), ("355M", 24, 1024), ("774M", 36, 1280), ("1558M", 48, 1600)],
)
def test_the_weights_have_four_bytes_for_each_number_of_the_model(
    name: str, layers: int, width: int
) -> None:
    numbers = (50_257 + 1_024 + 2) * width + layers * (12 * width**2 + 13 * width)
    assert published.MODELS[name][WEIGHTS].size == 4 * numbers


def test_a_model_is_stored_once_and_comes_back_unchanged(
    openai: OpenAI, store: Store, tmp_path: Path
) -> None:
    assert not published.is_stored(store, "124M")
    published.download("124M", tmp_path / "124M", openai.url)
    assert openai.asked == list(layout.BASE_MODEL_FILES)
    published.store(store, "124M", tmp_path / "124M")
    assert published.is_stored(store, "124M")
    published.store(store, "124M", tmp_path / "124M")  # a second writer of the same is no mistake
    published.restore(store, "124M", tmp_path / "again")
    for file in layout.BASE_MODEL_FILES:
        assert (tmp_path / "again" / file).read_bytes() == content(file)
    manifest = store.read(layout.base_manifest("124M"))
    assert manifest
    assert hashlib.sha256(content(WEIGHTS)).hexdigest().encode() in manifest.data


@pytest.mark.parametrize(
    ("harm", "md5", "said"),
    [
        ({"vocab.bpe": b"what is in vocab.bpX"}, {}, "its SHA-256 is"),
        ({"vocab.bpe": b"less"}, {}, "4 bytes, not 20"),
        ({WEIGHTS: b"x" * len(content(WEIGHTS))}, {WEIGHTS: "of others"}, "MD5"),
    ],
)
def test_a_file_that_differs_from_the_published_one_is_never_stored(
    openai: OpenAI, tmp_path: Path, harm: dict[str, bytes], md5: dict[str, str], said: str
) -> None:
    openai.harm, openai.md5 = harm, md5
    with pytest.raises(UserError, match=said) as raised:
        published.download("124M", tmp_path / "124M", openai.url)
    assert next(iter(harm)) in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_accepted_if_it_has_the_hosts_own_digest(openai: OpenAI, tmp_path: Path) -> None:
    digest = hashlib.md5(content(WEIGHTS), usedforsecurity=False).digest()
    openai.md5 = {WEIGHTS: base64.b64encode(digest).decode()}
    published.download("124M", tmp_path / "124M", openai.url)


def test_a_download_that_fails_is_repeated_a_few_times(openai: OpenAI, tmp_path: Path) -> None:
    openai.failures = 2
    published.download("124M", tmp_path / "124M", openai.url)
    openai.failures = 3
    with pytest.raises(UserError, match="checkpoint cannot be downloaded: HTTP 503"):
        published.download("124M", tmp_path / "more", openai.url)


def test_other_bytes_in_the_bucket_are_an_error_and_stay(
    openai: OpenAI, store: Store, tmp_path: Path
) -> None:
    store.write(f"{layout.base_model('124M')}hparams.json", b"mine", generation=0)
    published.download("124M", tmp_path / "124M", openai.url)
    with pytest.raises(UserError, match=r"base/124M/hparams\.json is not what OpenAI publishes"):
        published.store(store, "124M", tmp_path / "124M")
    assert not published.is_stored(store, "124M")


def test_an_unknown_model_is_refused_with_the_names_of_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'125M': OpenAI publishes 124M, 355M, 774M, 1558M"):
        published.check_name("125M")
