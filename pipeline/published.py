"""GPT-2 as OpenAI publishes it: downloaded once, checked, and stored in the models bucket.

Sources of the sizes and digests, read 2026-11:

- The vocabulary: OpenAI's tiktoken.
- `checkpoint`, `hparams.json` and the size of the weights: they follow from the model's shape.
- 124M's weights: two public repositories agree on the digest.
- 124M's index and graph: one of these repositories. All other digests in it are correct.
- The weights of larger models: no digest was found. Their size and the host's Content-MD5 are
  checked.
"""

import base64
import hashlib
import shutil
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from pipeline import documents, layout
from pipeline.documents import Document, Part
from pipeline.errors import UserError
from pipeline.store import PreconditionFailed, Store

HOST = "https://openaipublic.blob.core.windows.net/gpt-2/models"
"""The host that gpt-2-simple downloads from."""

_TIMEOUT = (10, 60)  # seconds to connect, and between two bytes
_TRIES = 3
_CHUNK = 1 << 20


@dataclass(frozen=True)
class File:
    """Size and digest of a published file; None if not known."""

    size: int | None = None
    sha256: str | None = None


def _model(hparams: File, weights: File, index: File, graph: File) -> Mapping[str, File]:
    return {
        "checkpoint": File(77, "dd1b025d2e155283f5e300ce95bf6d5b6bc0f7fe010db73daa6975eb896ab9cb"),
        "encoder.json": File(
            1_042_301, "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"
        ),
        "hparams.json": hparams,
        "model.ckpt.data-00000-of-00001": weights,
        "model.ckpt.index": index,
        "model.ckpt.meta": graph,
        "vocab.bpe": File(
            456_318, "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
        ),
    }


MODELS: Mapping[str, Mapping[str, File]] = {
    "124M": _model(
        File(90, "d9d56e4121c427164e0c55c6f03c08e1daf9002b9b672825112d19097b680318"),
        File(497_759_232, "2060c885360cc0cf41d7a6dbc4d24b5127aae20260c8b5ae521b5a6578407118"),
        File(5_215, "71916f763f9746f9b2a06b12d91996cf1084ae008d0424543d39391c5f2dc687"),
        File(471_155, "4668c448fa11531fd6700460487f73e82d3272960cea942252f8744bf225c77b"),
    ),
    "355M": _model(
        File(91, "310dfdb1f0c786b79d93459eaa470f3978d873bdc3e1f9fed1cad24d9dd0b1f6"),
        File(1_419_292_672),
        File(10_399),
        File(926_519),
    ),
    "774M": _model(File(91), File(3_096_120_320), File(), File()),
    "1558M": _model(File(91), File(6_230_444_800), File(), File()),
}


class PublishedFile(Part):
    """One file of a base model, as it was stored."""

    size: int
    sha256: str


class PublishedModel(Document):
    """The manifest of a base model; written last, so a model without it is incomplete."""

    source: str
    files: dict[str, PublishedFile]


def check_name(name: str) -> None:
    """Raise UserError if OpenAI publishes no such model."""
    if name not in MODELS:
        raise UserError(
            f"base model {name!r}: OpenAI publishes {', '.join(MODELS)}; upload any other to "
            f"{layout.base_model(name)} of the models bucket, in gpt-2-simple's layout"
        )


def is_stored(models: Store, name: str) -> bool:
    """Whether the bucket has all of the model."""
    return models.read(layout.base_manifest(name)) is not None


def download(name: str, folder: Path, host: str = HOST) -> None:
    """Download the model from OpenAI to `folder`, which appears when all files are checked.

    Raises:
        UserError: It cannot be downloaded, or its files are not the published ones.
    """
    check_name(name)
    with _appearing(folder) as partial:
        for file, known in MODELS[name].items():
            _download(f"{host}/{name}/{file}", partial / file, known)


def store(models: Store, name: str, folder: Path) -> None:
    """Upload a downloaded model to the bucket, the manifest last; nothing is overwritten.

    Raises:
        UserError: The bucket has other bytes under one of the names.
    """
    files: dict[str, PublishedFile] = {}
    for file in MODELS[name]:
        path = folder / file
        try:
            models.upload(layout.base_model(name) + file, path)
        except PreconditionFailed as error:
            raise UserError(
                f"gs://{models.bucket_name}/{error} is not what OpenAI publishes: delete it, and "
                "try again"
            ) from None
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        files[file] = PublishedFile(size=path.stat().st_size, sha256=digest)
    manifest = PublishedModel(source=f"{HOST}/{name}", files=files)
    documents.write(models, layout.base_manifest(name), manifest, generation=0)


def restore(models: Store, name: str, folder: Path) -> None:
    """Download a stored model from the bucket to `folder`, which appears when it is complete."""
    with _appearing(folder) as partial:
        for file in MODELS[name]:
            models.download(layout.base_model(name) + file, partial / file)


@contextmanager
def _appearing(folder: Path) -> Generator[Path]:
    """A folder to fill, which becomes `folder` if the block succeeds, and is removed if not."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download(url: str, path: Path, known: File) -> None:
    for left in reversed(range(_TRIES)):
        try:
            fault = _try(url, path, known)
        except requests.RequestException as error:
            fault = f"no response ({type(error).__name__})"
        if not fault:
            return
        if not left:
            raise UserError(
                f"{url} cannot be downloaded: {fault}; try again, or upload the model to "
                f"{layout.all_base_models()} of the models bucket, in gpt-2-simple's layout"
            )
        time.sleep(1)


def _try(url: str, path: Path, known: File) -> str:
    """Download a file once; returns what is wrong with it, or an empty text."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with requests.get(url, stream=True, timeout=_TIMEOUT) as response:
        if response.status_code != 200:
            return f"HTTP {response.status_code}"
        with path.open("wb") as file:
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                sha256.update(chunk)
                md5.update(chunk)
        host_md5 = response.headers.get("Content-MD5")
        expected = known.size or int(response.headers.get("Content-Length", -1))
    if path.stat().st_size != expected:
        return f"it has {path.stat().st_size} bytes, not {expected}"
    if known.sha256 not in (None, sha256.hexdigest()):
        return f"its SHA-256 is {sha256.hexdigest()}, not {known.sha256}"
    if host_md5 not in (None, base64.b64encode(md5.digest()).decode()):
        return "its MD5 is not the one in the Content-MD5 header"
    return ""
