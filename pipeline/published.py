"""GPT-2 as OpenAI publishes it: downloaded once, checked, and kept in the models bucket.

Sizes and digests, of 2026-11: those of the vocabulary are in OpenAI's tiktoken; `checkpoint` and
`hparams.json` follow from the model's shape, as does the size of the weights (4 bytes for each
number). The digest of 124M's weights is told alike by two public repositories, those of its index
and graph by one, which is right about all the others. For the larger models no digest of the
weights was to be found: there the size must be right, and the host's own Content-MD5.
"""

import base64
import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from pipeline import layout
from pipeline.errors import UserError
from pipeline.store import Changed, Store

HOST = "https://openaipublic.blob.core.windows.net/gpt-2/models"
"""Where gpt-2-simple downloads from, too."""

_TIMEOUT = (10, 60)  # seconds to connect, and between two bytes
_TRIES = 3
_CHUNK = 1 << 20


@dataclass(frozen=True)
class File:
    """What is known of a published file; None: nothing."""

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


def check_name(name: str) -> None:
    """Raise UserError for a model that OpenAI does not publish."""
    if name not in MODELS:
        raise UserError(
            f"base model {name!r}: OpenAI publishes {', '.join(MODELS)}; upload any other to "
            f"{layout.base_model(name)} of the models bucket, in gpt-2-simple's layout"
        )


def kept(models: Store, name: str) -> bool:
    """Whether the bucket has the whole model."""
    return models.read(layout.base_manifest(name)) is not None


def download(name: str, folder: Path, host: str = HOST) -> None:
    """Bring the model from OpenAI to `folder`, which appears when it is whole and checked.

    Raises:
        UserError: It cannot be had, or is not what was published.
    """
    check_name(name)
    arriving = folder.with_name(f"{folder.name}.arriving")
    shutil.rmtree(arriving, ignore_errors=True)
    arriving.mkdir(parents=True)
    try:
        for file, known in MODELS[name].items():
            _download(f"{host}/{name}/{file}", arriving / file, known)
        arriving.rename(folder)
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


def keep(models: Store, name: str, folder: Path) -> None:
    """Put a downloaded model into the bucket: never over anything, and the manifest last.

    Raises:
        UserError: The bucket has other bytes under one of the names.
    """
    files: dict[str, dict[str, object]] = {}
    for file in MODELS[name]:
        path = folder / file
        try:
            models.upload(layout.base_model(name) + file, path)
        except Changed as error:
            raise UserError(
                f"gs://{models.bucket_name}/{error} is not what OpenAI publishes: delete it, and "
                "try again"
            ) from None
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        files[file] = {"size": path.stat().st_size, "sha256": digest}
    manifest = json.dumps({"source": f"{HOST}/{name}", "files": files}, indent=1).encode()
    models.write(layout.base_manifest(name), manifest, generation=0)


def restore(models: Store, name: str, folder: Path) -> None:
    """Bring a kept model from the bucket to `folder`, which appears when it is whole."""
    arriving = folder.with_name(f"{folder.name}.arriving")
    shutil.rmtree(arriving, ignore_errors=True)
    arriving.mkdir(parents=True)
    try:
        for file in MODELS[name]:
            models.download(layout.base_model(name) + file, arriving / file)
        arriving.rename(folder)
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


def _download(url: str, path: Path, known: File) -> None:
    for left in reversed(range(_TRIES)):
        try:
            wrong = _try(url, path, known)
        except requests.RequestException as error:
            wrong = f"no good answer ({type(error).__name__})"
        if not wrong:
            return
        if not left:
            raise UserError(
                f"{url} cannot be downloaded: {wrong}; try again, or upload the model to base/ of "
                "the models bucket, in gpt-2-simple's layout"
            )
        time.sleep(1)


def _try(url: str, path: Path, known: File) -> str:
    """What is wrong with what came; empty if nothing is."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with requests.get(url, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code != 200:
            return f"HTTP {answer.status_code}"
        with path.open("wb") as file:
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)
                sha256.update(chunk)
                md5.update(chunk)
        told = answer.headers.get("Content-MD5")
        expected = known.size or int(answer.headers.get("Content-Length", -1))
    if path.stat().st_size != expected:
        return f"{path.stat().st_size} bytes came, of {expected}"
    if known.sha256 not in (None, sha256.hexdigest()):
        return f"its SHA-256 is {sha256.hexdigest()}, not {known.sha256}"
    if told not in (None, base64.b64encode(md5.digest()).decode()):
        return "it does not have the MD5 that the host tells"
    return ""
