"""Finds, fetches and checks base models, which have gpt-2-simple's layout."""

import json
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline import layout, published
from pipeline.clock import Clock
from pipeline.errors import UserError
from pipeline.lease import Busy
from pipeline.log import log
from pipeline.store import Store
from pipeline.tokens import Vocabulary
from trainer_image import lease
from trainer_image.convert import read_weights

_POLL = 5.0  # seconds


def find(name: str, ahead: Path, mount: Path) -> Path | None:
    """Find the model where the machine fetched it ahead, or in the mounted bucket; else None.

    A folder that lacks a file does not count: another machine may still be uploading it.
    """
    for folder in (ahead / name, mount / layout.base_model(name)):
        if all((folder / file).is_file() for file in layout.BASE_MODEL_FILES):
            return folder
    return None


def fetch(
    models: Store,
    name: str,
    folder: Path,
    run: str,
    clock: Clock,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Download a model that OpenAI publishes to `folder`, and return `folder`.

    One machine downloads the model from OpenAI and stores it in the bucket. The others download it
    from the bucket. Raises UserError if there is no such model, or if it cannot be downloaded.
    """
    published.check_name(name)
    while not published.is_stored(models, name):
        try:
            with lease.held(models, f"base-{name}", run, clock):
                if published.is_stored(models, name):
                    break
                log("INFO", f"base model {name}: downloading it from OpenAI, once")
                published.download(name, folder)
                published.store(models, name, folder)
                return folder
        except Busy as error:
            log("INFO", f"base model {name}: {error}")
            sleep(_POLL)
    published.restore(models, name, folder)
    return folder


def check(folder: Path) -> None:
    """Raise UserError unless all files are there, undamaged and consistent with each other."""
    tf: Any = import_module("tensorflow")
    try:
        shape = json.loads((folder / "hparams.json").read_text())
        weights = read_weights(folder)
        vocabulary = Vocabulary(folder)
        expected = (shape["n_vocab"], shape["n_embd"])
        if weights["model/wte"].shape != expected or vocabulary.end >= shape["n_vocab"]:
            raise UserError(f"model {folder}: its vocabulary, hparams and weights do not match")
        if shape["n_ctx"] < 1024:
            raise UserError(f"model {folder}: n_ctx {shape['n_ctx']} is below 1024")
        if f"model/h{shape['n_layer'] - 1}/ln_1/g" not in weights:
            raise UserError(f"model {folder}: fewer layers than n_layer {shape['n_layer']}")
    except (OSError, ValueError, LookupError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(
            f"model {folder} is damaged or not in gpt-2-simple's layout: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
