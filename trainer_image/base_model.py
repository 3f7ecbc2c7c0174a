"""Where a training starts from: a base model in gpt-2-simple's layout, known to be whole."""

import json
import shutil
import signal
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.errors import UserError
from pipeline.tokens import Vocabulary
from trainer_image.convert import read_weights

# What OpenAI publishes and gpt-2-simple downloads.
PUBLISHED = frozenset({"124M", "355M", "774M", "1558M"})
_DOWNLOAD_SECONDS = 1800


def find(mount: Path, bucket: str, name: str) -> Path | None:
    """The model's folder in the mounted bucket; None for one to download; else UserError."""
    folder = mount / layout.base_model(name)
    if folder.is_dir():
        return folder
    if name in PUBLISHED:
        return None
    raise UserError(
        f"base_model {name}: there is no gs://{bucket}/{layout.base_model(name)} and OpenAI "
        f"publishes only {', '.join(sorted(PUBLISHED))}; upload it there in gpt-2-simple's layout"
    )


def download(parent: Path, name: str) -> Path:
    """`parent/name`, downloaded by gpt-2-simple unless it is there; needs TensorFlow."""
    folder = parent / name
    if folder.is_dir():
        return folder
    arriving = parent / "arriving"
    shutil.rmtree(arriving, ignore_errors=True)
    gpt2: Any = import_module("gpt_2_simple.gpt_2")
    signal.signal(signal.SIGALRM, _too_slow)  # gpt-2-simple sets no time limit
    signal.alarm(_DOWNLOAD_SECONDS)
    try:
        gpt2.download_gpt2(model_dir=str(arriving), model_name=name)
        check(arriving / name)
    except (OSError, KeyError) as error:  # requests' errors are OSErrors; KeyError: no length sent
        raise UserError(
            f"base_model {name} cannot be downloaded ({_first_line(error)}): run it again, or "
            f"upload it to {layout.base_model(name)} of the models bucket"
        ) from error
    finally:
        signal.alarm(0)
    (arriving / name).rename(folder)
    return folder


def check(folder: Path) -> None:
    """Raise UserError unless every file is there, whole, and fits the others."""
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


def _too_slow(*_: object) -> None:
    raise TimeoutError(f"not there after {_DOWNLOAD_SECONDS} seconds")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
